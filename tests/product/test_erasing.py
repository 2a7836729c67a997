"""A user of a running product is erased over the API: nothing of what they said is left in any file of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread

CANARY = b"canary-5e1f"


def holding(folder: Path, text: bytes = CANARY) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and text in path.read_bytes():
                found.append(str(path.relative_to(folder)))
        except FileNotFoundError:  # replaced at this moment
            continue
    return found


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    with upstream_in_thread() as model:
        settings = {"WORKERS": "2", "MODEL_ENDPOINT": model.url, "MODEL_NAME": "scripted"}
        with Product(tmp_path_factory.mktemp("erasing") / "var", **settings).up() as product:
            yield product


def ask(product: Product, user: str, text: str, **more: object) -> dict:
    with product.http() as http:
        answer = http.post("/api/chat", json={"message": text, "user": user, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()


def test_what_an_erased_user_said_is_in_no_file(product: Product):
    product.operate("value = Tenant.objects.update(cache_ttl=600, cache_sampled=True)")
    product.operate("[tenant.save() for tenant in Tenant.objects.all()]")
    key = product.operate(
        "value = services.create_api_key(tenant=Tenant.objects.get(), name='m', scopes=['manage'])[1]"
    )
    spoken = [
        ask(product, "alice", f"{CANARY.decode()} {number}", metadata={"m": CANARY.decode()}) for number in range(8)
    ]
    others = ask(product, "bob", "bobs-words")
    assert holding(product.folder / "valkey"), "the session was never on the disk: the test says nothing"
    assert holding(product.folder / "journal") == [], "the journal is sealed"
    with product.http(key) as http:
        until(lambda: http.get("/api/erasures").status_code == 200, "the key works")
        number = http.get("/api/turns/" + spoken[0]["id"]).status_code
        assert number == 403, "managing is not reading"
        job = http.post("/api/erasures", json={"user": f"key:{own_key(product)}:alice"})
        assert job.status_code == 202
        url = f"/api/jobs/{job.json()['id']}"
        done = until(lambda: (told := http.get(url).json())["state"] in ("done", "failed") and told, "it is over")
        assert done["state"] == "done", done
        told = http.get(done["result_url"]).json()["certificate"]
    assert told["deleted"]["sessions"] == 8 and told["keys_destroyed"] and told["turns_in_the_clear"] == 0
    assert told["store"] == {"append_only_file": True, "snapshot": True, "refused": ""}
    until(lambda: holding(product.folder) == [], f"nothing holds it any more: {holding(product.folder)}")
    assert holding(product.folder, b"bobs-words"), "others are still there"

    with product.http() as http:
        for turn in spoken:
            record = http.get(f"/api/turns/{turn['id']}")
            assert record.status_code == 404, "the caller of an erased turn is not known any more"
        assert http.get(f"/api/turns/{others['id']}").json()["intent"]["messages"][0]["content"] == "bobs-words"
    again = ask(product, "alice", "a new beginning")
    with product.http() as http:
        record = http.get(f"/api/turns/{again['id']}").json()
    assert (record["erased"], record["intent"]["messages"][0]["content"]) == (False, "a new beginning")
    reader = product.operate(
        "value = services.create_api_key(tenant=Tenant.objects.get(), name='a', scopes=['audit'])[1]"
    )
    with product.http(reader) as http:
        until(lambda: http.get(f"/api/turns/{spoken[0]['id']}").status_code == 200, "the key works")
        record = http.get(f"/api/turns/{spoken[0]['id']}").json()
    assert (record["erased"], record["unreadable"], record["state"]) == (True, False, "completed")
    assert record["completion"].get("choices", []) == [] and record["intent"]["user"] == told["subject"]
    balance = product.manage("audit", "balance")
    assert balance.returncode == 0, balance.stdout


def own_key(product: Product) -> int:
    return product.operate("value = ApiKey.objects.everywhere().get(name='bootstrap').pk")
