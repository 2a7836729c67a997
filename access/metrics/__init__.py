"""What is counted of a machine's processes, and `/metrics`, where all of it is told."""

from access.metrics.counting import Metrics as Metrics
from access.metrics.page import MetricsPage as MetricsPage
