import hashlib
import json

from django.db import migrations, models

from tenants.secrets import open_sealed, seal

# As `PluginActivation.settings` does it.
PURPOSE = "plugin settings"


def _place(row):
    row_id = int.from_bytes(hashlib.sha256(row.plugin.encode()).digest()[:6])
    return {"tenant_id": row.tenant_id, "row_id": row_id, "purpose": PURPOSE}


def _rows(apps, schema_editor):
    rows = apps.get_model("plugins", "PluginActivation")._base_manager.using(schema_editor.connection.alias)
    return rows.order_by("pk").iterator(chunk_size=500)


def seal_settings(apps, schema_editor):
    for row in _rows(apps, schema_editor):
        if row.settings != {}:
            row.sealed_settings = seal(json.dumps(row.settings), **_place(row))
            row.save(update_fields=["sealed_settings"])


def open_settings(apps, schema_editor):
    for row in _rows(apps, schema_editor):
        if row.sealed_settings:
            row.settings = json.loads(open_sealed(row.sealed_settings, **_place(row)))
            row.save(update_fields=["settings"])


class Migration(migrations.Migration):

    dependencies = [
        ('plugins', '0005_outbox'),
    ]

    operations = [
        migrations.AddField(
            model_name='pluginactivation',
            name='sealed_settings',
            field=models.TextField(blank=True, default='', editable=False, verbose_name='settings'),
            preserve_default=False,
        ),
        migrations.RunPython(seal_settings, open_settings),
        migrations.RemoveField(
            model_name='pluginactivation',
            name='settings',
        ),
    ]
