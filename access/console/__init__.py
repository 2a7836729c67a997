"""The consoles: django-unfold on Django's admin machinery."""
