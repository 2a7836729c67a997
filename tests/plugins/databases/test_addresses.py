import pytest

from plugins.databases import addresses
from plugins.databases.addresses import AddressRefused


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///shop.sqlite3", "shop.sqlite3"),
        ("postgresql://ann:pw@db.example.com/shop", "db.example.com:5432/shop"),
        ("postgres://ann@10.0.0.1:6543/shop?sslmode=require", "10.0.0.1:6543/shop"),
        ("postgresql+psycopg://ann:p%40w@[2001:db8::1]/shop", "[2001:db8::1]:5432/shop"),
        ("mysql://ann:pw@db/shop", "db:3306/shop"),
        ("mariadb://ann:pw@db/shop?sslmode=verify-full", "db:3306/shop"),
    ],
)
def test_it_takes_an_address_apart(url, place):
    assert addresses.parse(url).place == place


def test_it_reads_what_is_escaped():
    found = addresses.parse("postgresql://an%40n:p%3Aw%2F@db/shop%20x")
    assert (found.user, found.password, found.database) == ("an@n", "p:w/", "shop x")


@pytest.mark.parametrize(
    "url",
    [
        "", "shop", "http://db/shop", "oracle://a:b@db/shop", "postgresql://", "postgresql://a:b@/shop",
        "postgresql://a:b@db/", "postgresql://db/shop", "postgresql://a:b@db:99999/shop", "postgresql://a:b@db:x/shop",
        "postgresql://a:b@one,two/shop", "postgresql://a:b@%2Ftmp/shop", "postgresql://a:b@/shop?host=/tmp",
        "postgresql://a:b@db/shop?host=evil", "postgresql://a:b@db/shop?sslrootcert=/etc/passwd",
        "postgresql://a:b@db/shop?service=x", "postgresql://a:b@db/shop?options=-c%20x", "postgresql://a:b@db/shop?x",
        "postgresql://a:b@db/shop?sslmode=no", "postgresql://a:b@db/shop#x", "postgresql://a:b@db/sh%00op",
        "postgresql://a%00:b@db/shop", "postgresql://a:b@db/shop x", "mysql://a:b@db/shop?read_default_file=/etc/x",
        "mysql://a:b@db/shop?unix_socket=/tmp/x", "mysql://a:b@db/shop?local_infile=1", "postgresql://a:b@-db/shop",
        "sqlite:///../x", "sqlite:////etc/passwd", "sqlite:///a/b", "sqlite:///a%2Fb", "sqlite:///.hidden",
        "sqlite:///x?mode=rw", "sqlite:///file:x", "sqlite://host/x", "sqlite:///", "sqlite:///:memory:", "x" * 2000,
        "postgresql://a:b@[::1/shop", "postgresql://a:b@db/shop\n", "\x00",
    ],
)  # fmt: skip
def test_it_refuses_what_could_mean_more(url):
    with pytest.raises(AddressRefused):
        addresses.parse(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "localhost"]
)
def test_it_looks_a_name_up_and_refuses_private_networks(host):
    address = addresses.parse(f"postgresql://a:b@{host}/shop")
    with pytest.raises(AddressRefused):
        addresses.resolve(address, private=False)
    if host == "169.254.169.254":
        with pytest.raises(AddressRefused):
            addresses.resolve(address, private=True)
    else:
        assert addresses.resolve(address, private=True)


def test_it_takes_a_public_address():
    assert addresses.resolve(addresses.parse("mysql://a:b@1.1.1.1/shop"), private=False) == "1.1.1.1"


def test_it_finds_files_in_the_tenants_own_folder_only(tmp_path):
    folder = tmp_path / "databases"
    for tenant in ("acme", "globex"):
        (folder / tenant).mkdir(parents=True)
        (folder / tenant / f"{tenant}.sqlite3").touch()
    (folder / "acme" / "link.sqlite3").symlink_to(folder / "globex" / "globex.sqlite3")
    (folder / "acme" / "sub").mkdir()
    (tmp_path / "outside.sqlite3").touch()
    (folder / "evil").symlink_to(tmp_path)

    def found(name, tenant="acme", where=folder, ours=()):
        return addresses.file_of(name, tenant=tenant, folder=where, ours=ours)

    assert found("acme.sqlite3") == folder / "acme" / "acme.sqlite3"
    for bad in ("globex.sqlite3", "link.sqlite3", "../globex/globex.sqlite3", "sub", ".", "..", "none"):
        with pytest.raises(AddressRefused):
            found(bad)
    for refused in ({"where": None}, {"ours": (folder,)}, {"ours": (folder / "acme" / "acme.sqlite3",)}):
        with pytest.raises(AddressRefused):
            found("acme.sqlite3", **refused)
    with pytest.raises(AddressRefused):
        found("outside.sqlite3", tenant="evil")
