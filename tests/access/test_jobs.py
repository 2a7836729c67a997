import json

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import re_path

from access.body_limits import BodyLimits
from access.lean import LeanHandler
from access.management.jobs import LISTED, PIECE, Stored, StoredResult
from tenants import jobs
from tests.access.asgi_client import Client
from tests.access.managed import managed
from tests.access.parts import KnownKeys, elsewhere
from tests.cast import ALICE, CHARLIE

RESULT = {"moved": 0.25, "examples": ["你好"]}


@pytest.fixture
async def site(transactional_db, cast, tmp_path, settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "objects"},
        },
    }
    async with managed() as site:
        yield site


def queued(tenant_id=ALICE.company.id, kind="replay"):
    return jobs.queue_job(tenant_id=tenant_id, kind=kind, created_by="member:1").pk


def finished(content=None, tenant_id=ALICE.company.id):
    """A job that is done; its result is `content`."""
    job_id = queued(tenant_id)
    name = default_storage.save(f"jobs/{job_id}.json", ContentFile(content)) if content is not None else ""
    jobs.start_job(job_id=job_id)
    jobs.finish_job(job_id=job_id, result_name=name)
    return job_id, name


async def missing(client, path):
    answer = await client.get(path)
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    return answer.json["error"]["message"]


async def test_it_tells_how_far_a_job_is(site):
    job_id = await site.rows(queued)
    path = f"/api/jobs/{job_id}"
    job = (await site.alice.get(path)).json
    created = job.pop("created_at")
    assert job == {
        "id": job_id, "kind": "replay", "state": "queued", "progress": 0, "result_url": None, "error": None,
        "finished_at": None,
    }  # fmt: skip
    assert created > 1_700_000_000
    await site.rows(lambda: (jobs.start_job(job_id=job_id), jobs.report_progress(job_id=job_id, percent=40)))
    job = (await site.alice.get(f"{path}/")).json
    assert (job["state"], job["progress"], job["result_url"]) == ("running", 40, None)
    await missing(site.alice, f"{path}/result")
    await site.rows(lambda: jobs.fail_job(job_id=job_id, error="no records"))
    job = (await site.alice.get(path)).json
    assert (job["state"], job["error"], job["finished_at"] >= created) == ("failed", "no records", True)
    await missing(site.alice, f"{path}/result")


async def test_it_gives_the_result_as_it_is_stored(site):
    content = json.dumps(RESULT).encode()
    job_id, _ = await site.rows(lambda: finished(content))
    job = (await site.alice.get(f"/api/jobs/{job_id}")).json
    assert (job["state"], job["progress"], job["result_url"]) == ("done", 100, f"/api/jobs/{job_id}/result")
    answer = await site.alice.get(job["result_url"])
    assert (answer.status, answer.body, answer.json) == (200, content, RESULT)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 5 * PIECE])
async def test_it_streams_a_result_of_any_size(site, size):
    job_id, _ = await site.rows(lambda: finished(b"x" * size))
    exchange = site.alice.begin("GET", f"/api/jobs/{job_id}/result")
    pieces = []
    while (piece := await exchange.piece()) is not None:
        pieces.append(piece)
    assert b"".join(pieces) == b"x" * size
    assert max(map(len, pieces)) <= PIECE
    await exchange.task


async def test_a_result_that_is_gone_is_404(site):
    job_id, name = await site.rows(lambda: finished(b"{}"))
    nothing, _ = await site.rows(finished)
    await site.rows(lambda: default_storage.delete(name))
    await missing(site.alice, f"/api/jobs/{job_id}/result")
    await missing(site.alice, f"/api/jobs/{nothing}/result")
    assert (await site.alice.get(f"/api/jobs/{nothing}")).json["result_url"] is None


async def test_a_result_that_is_not_whole_ends_too_short_for_its_length(site):
    reply = StoredResult(site.site.parts.rows, Stored(ContentFile(b"x" * (PIECE + 1)), 3 * PIECE))

    async def view(request):
        return reply

    exchange = Client(LeanHandler([re_path("here", view)], elsewhere, BodyLimits(KnownKeys()))).begin("GET", "/here")
    assert await exchange.piece() == b"x" * PIECE
    with pytest.raises(AssertionError, match="without an answer"):
        await exchange.piece()
    assert exchange.headers["content-length"] == str(3 * PIECE)
    empty = StoredResult(site.site.parts.rows, Stored(ContentFile(b""), PIECE))
    reply = empty
    answer = await Client(LeanHandler([re_path("here", view)], elsewhere, BodyLimits(KnownKeys()))).get("/here")
    assert (answer.status, answer.json["error"]["code"]) == (503, "store_unavailable")


async def test_it_closes_the_object_when_the_reader_leaves(site):
    job_id, _ = await site.rows(lambda: finished(b"x" * 3 * PIECE))
    exchange = site.alice.begin("GET", f"/api/jobs/{job_id}/result")
    await exchange.piece()
    exchange.leave()
    await exchange.task
    assert (await site.alice.get(f"/api/jobs/{job_id}")).status == 200


async def test_it_lists_the_last_ones_newest_first(site):
    ids = await site.rows(lambda: [queued() for _ in range(LISTED + 2)])
    await site.rows(lambda: (queued(CHARLIE.company.id), queued(None)))
    listed = (await site.alice.get("/api/jobs")).json["jobs"]
    assert [job["id"] for job in listed] == ids[:1:-1]
    assert (await site.alice.get(f"/api/jobs/{listed[0]['id']}")).json == listed[0]


async def test_jobs_of_others_and_of_the_platform_are_not_there(site):
    ids = await site.rows(lambda: [finished(b"{}")[0], finished(b"{}", None)[0]])
    unknown = await missing(site.charlie, "/api/jobs/999999")
    for job_id in ids:
        assert await missing(site.charlie, f"/api/jobs/{job_id}") == unknown
        assert await missing(site.charlie, f"/api/jobs/{job_id}/result") == unknown
    assert (await site.charlie.get("/api/jobs")).json == {"jobs": []}
    for name in ("0", "-1", "01", "x", "%00", "9" * 30, "١"):
        assert await missing(site.alice, f"/api/jobs/{name}") == unknown
        assert await missing(site.alice, f"/api/jobs/{name}/result") == unknown


async def test_it_needs_the_scope_manage(site):
    job_id, _ = await site.rows(lambda: finished(b"{}"))
    for path in ("/api/jobs", f"/api/jobs/{job_id}", f"/api/jobs/{job_id}/result"):
        assert (await site.bob.get(path)).status == 403
        assert (await site.site.stranger.get(path)).status == 401
