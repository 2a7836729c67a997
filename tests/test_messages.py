"""What the consoles say is said in every language, and the compiled catalogues are those of the sources."""

import subprocess
import sys
from pathlib import Path

from django.utils.translation import gettext, override

from tenants.models import Tenant

ROOT = Path(__file__).resolve().parent.parent


def test_it_has_every_message_translated_and_compiled():
    command = [sys.executable, "tools/messages.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_translates_what_models_say_of_themselves():
    field = Tenant._meta.get_field("requests_per_minute")
    with override("zh-hans"):
        assert (str(field.verbose_name), str(field.help_text)) == ("每分钟请求数", "留空：不限。")
        assert str(Tenant._meta.verbose_name_plural) == "租户"
        assert gettext("Save") == "保存"
    assert (str(field.verbose_name), str(field.help_text)) == ("requests per minute", "Empty: unlimited.")
