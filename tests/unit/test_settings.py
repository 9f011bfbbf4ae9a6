"""Settings come from the environment and from files; what is wrong is told with its place, secrets never."""

import traceback
from pathlib import Path

import pytest

from pipeline.durability.recovery import digest_of
from pipeline.settings import SettingsError, customers_digest, load, rules, rules_digest, running

KEY = "a-key-of-more-than-16-characters"


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush\n")
    settings = load({"CX_CLICKHOUSE__PASSWORD_FILE": str(file), "CX_CLICKHOUSE__USER": "cx"})
    assert settings.clickhouse.password.get_secret_value() == "hush"
    assert settings.clickhouse.user == "cx"
    assert settings.clickhouse.port == 9000
    assert "hush" not in repr(settings)
    assert "hush" not in settings.model_dump_json()


def test_a_secret_given_twice_or_in_no_file_is_an_error_that_says_which(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CX_WEB__TOKEN and CX_WEB__TOKEN_FILE are both set"):
        load({"CX_WEB__TOKEN": "hush", "CX_WEB__TOKEN_FILE": str(tmp_path / "token")})
    with pytest.raises(SettingsError, match=r"CX_WEB__TOKEN_FILE: .*/token' cannot be read"):
        load({"CX_WEB__TOKEN_FILE": str(tmp_path / "token")})
    with pytest.raises(SettingsError, match="unknown setting CX_KAFKA__GROUP_FILE"):
        load({"CX_KAFKA__GROUP_FILE": "x"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"CX_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "CX_KAFKA__SASL_USERNAME": "cx"},
            "SASL_SSL needs SASL_USERNAME",
        ),
        ({"CX_KAFKA__SECURITY_PROTOCOL": "TLS"}, r"CX_KAFKA__SECURITY_PROTOCOL: .*\(found 'TLS'\)"),
        ({"CX_KAFKA__SSL_KEY_FILE": "k.pem"}, "SSL_CERTIFICATE_FILE and SSL_KEY_FILE belong together"),
        ({"CX_PRIVACY__CUSTOMER_KEY": "short-secret"}, "CUSTOMER_KEY needs 16 characters or more"),
    ],
)
def test_what_does_not_fit_together_is_told_without_secrets(given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(given)
    assert "short-secret" not in str(caught.value)


def test_an_empty_file_is_no_way_to_go_without(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        load({"CX_PRIVACY__CUSTOMER_KEY_FILE": str(file)})
    with pytest.raises(SettingsError, match="cannot be read"):
        load({"CX_WEB__TOKEN_FILE": ""})


@pytest.mark.parametrize(
    "given",
    ['{"sasl_pasword": "hunter2"}', '"hunter2"', '{"sasl_password": ["hunter2"]}', '{"partitions": "hunter2"}'],
)
def test_a_group_given_as_json_tells_nothing_of_what_is_in_it(given: str) -> None:
    with pytest.raises(SettingsError, match="CX_KAFKA") as caught:
        load({"CX_KAFKA": given})
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_another_customer_key_is_another_state_of_sessions_and_of_nothing_else() -> None:
    keys: list[dict[str, str]] = [{}, {"CX_PRIVACY__CUSTOMER_KEY": KEY}, {"CX_PRIVACY__CUSTOMER_KEY": KEY[::-1]}]
    found = [load(given) for given in keys]
    assert len({rules_digest(one) for one in found}) == 1
    digests = {digest_of(("touchpoints.web", 0), "d", customers_digest(one)) for one in found}
    assert len(digests) == 3
    assert "d" in digests
    assert {digest_of(("cx.tiles", 0), "d", customers_digest(one)) for one in found} == {"d"}


FUNNEL = """\
[funnels.pickup]
opens_on = [{ type = "order_completed", step = "pickup" }]
completes_on = ["order_collected"]
timeout_s = 7200

[events]
types = ["order_collected"]
"""


def told(tmp_path: Path, text: str, **given: str) -> str:
    """The error that a settings' file gives."""
    file = tmp_path / "shop.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load({"CX_CONFIG": str(file)} | given)
    return str(raised.value).replace(f"{tmp_path}/", "")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(f"{FUNNEL}\n[kafka]\npartitions = 8\ngroup = 'g'\n[funnels.cart]\ntimeout_s = 60\n")
    found = load({"CX_CONFIG": str(file), "CX_KAFKA__GROUP": "h", "CX_FUNNELS__PICKUP__TIMEOUT_S": "90"})
    assert (found.kafka.partitions, found.kafka.group) == (8, "h")
    assert found.funnels.followed()["pickup"].timeout_s == 90
    assert found.funnels.cart.timeout_s == 60
    assert found.funnels.cart.opens_on == load({}).funnels.cart.opens_on


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "timeout_s = 7200",
            "timeout_s = 0",
            "shop.toml, line 4: funnels.pickup.timeout_s: Input should be greater",
        ),
        (
            '"order_collected"]\ntime',
            '"order_colected"]\ntime',
            "line 3: funnels.pickup.completes_on: no such event type: order_colected",
        ),
        ('completes_on = ["order_collected"]\n', "", "line 1: funnels.pickup.completes_on: Field required"),
        ("step =", "stepp =", "line 2: funnels.pickup.opens_on.stepp: Extra inputs are not permitted"),
        ("[funnels.pickup]", "[funnels.a__b]", "line 1: funnels.a__b: String should match pattern"),
        ("[funnels.pickup]", "[funnels.Pickup]", "line 1: funnels.Pickup: String should match pattern"),
        (
            "[funnels.pickup]",
            "[funnels.step_x]",
            "line 1: funnels.step_x: a funnel's name does not begin with 'step_'",
        ),
        ("[funnels.pickup]", "[funnels.x_value]", "line 1: funnels.x_value: a funnel's name does not begin"),
        (
            'types = ["order_collected"]',
            'types = ["order collected"]',
            "line 7: events.types: String should match",
        ),
        (
            'types = ["order_collected"]',
            'types = ["page_viewed"]',
            "line 7: events.types: each once, and none of the",
        ),
        ("[events]", "[event]", "line 6: event: there is no such setting, did you mean events?"),
        ("[events]", "[events", "shop.toml: "),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in FUNNEL
    assert problem in told(tmp_path, FUNNEL.replace(old, new, 1))


def test_a_variable_that_is_wrong_is_named_and_not_the_file(tmp_path: Path) -> None:
    assert told(tmp_path, FUNNEL, CX_FUNNELS__PICKUP__TIMEOUT_S="x").startswith("CX_FUNNELS__PICKUP__TIMEOUT_S: ")
    assert "did you mean CX_FUNNELS__PICKUP__TIMEOUT_S?" in told(tmp_path, FUNNEL, CX_FUNNELS__PICKUP__TIMEOUT="9")


def test_two_funnels_of_one_name_and_none_at_all(tmp_path: Path) -> None:
    assert "two of them have the same name" in told(tmp_path, '[funnels.cart]\nname = "checkout"\n')
    off = "".join(f"[funnels.{name}]\nenabled = false\n" for name in load({}).funnels.followed())
    assert "0 are enabled" in told(tmp_path, off)


def test_more_types_or_dimensions_than_fit(tmp_path: Path) -> None:
    many = [f"t{number}" for number in range(100)]
    assert "129 with the contract's" in told(tmp_path, f"[events]\ntypes = {many}\n")
    assert "at most 8 items" in told(tmp_path, f"[segments]\nattributes = {many[:9]}\n")
    assert "none of channel" in told(tmp_path, '[segments]\nattributes = ["region"]\n')


def test_a_state_fits_the_words_and_funnels_that_it_was_made_with(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    found = []
    for text in ("", FUNNEL, FUNNEL.replace("pickup", "other", 1), FUNNEL.replace(', step = "pickup"', "")):
        file.write_text(text)
        found.append(rules_digest(load({"CX_CONFIG": str(file)})))
    file.write_text('[segments]\nattributes = ["loyalty"]\n')
    assert len({*found, rules_digest(load({"CX_CONFIG": str(file)}))}) == 5
    assert found[0] == rules_digest(load({})) == "32f53c670ee17833"  # checkpoints of a shop without any stay good


def test_a_channel_can_have_a_lateness_of_its_own() -> None:
    shop = rules(load({"CX_PIPELINE__OWN_LATENESS_S": '{"pos": 43200}', "CX_PIPELINE__LATENESS_S": "600"}))
    assert [shop.lateness_of(channel) for channel in ("web", "app", "pos")] == [600_000, 600_000, 43_200_000]
    assert shop.longest_lateness_ms == 43_200_000
    with pytest.raises(SettingsError, match="CX_PIPELINE__OWN_LATENESS_S"):
        load({"CX_PIPELINE__OWN_LATENESS_S": '{"till": 43200}'})
    assert rules_digest(load({"CX_PIPELINE__OWN_LATENESS_S": '{"pos": 43200}'})) != rules_digest(load({}))


def test_the_order_of_a_file_means_nothing_to_what_is_stored(tmp_path: Path) -> None:
    """Stored journeys name their funnel by its place."""
    tables = [
        FUNNEL.replace("pickup", name, 1).replace('[events]\ntypes = ["order_collected"]\n', "") for name in "ab"
    ]
    types = '[events]\ntypes = ["order_collected"]\n'
    found = []
    for some in (tables, tables[::-1]):
        file = tmp_path / "shop.toml"
        file.write_text("\n".join([*some, types]))
        found.append(rules(load({"CX_CONFIG": str(file)})).funnels.all)
    assert [[funnel.name for funnel in some][-2:] for some in found] == [["a", "b"]] * 2


def test_a_cart_that_something_else_opens_counts_no_lines_and_a_basket_that_it_opens_does() -> None:
    assert load({"CX_FUNNELS__CART__OPENS_ON": '["cart_viewed"]'}).funnels.cart.lines == ((), ())
    fills, empties = load({"CX_FUNNELS__BASKET__OPENS_ON": ' ["product_added"]'}).funnels.basket.lines
    assert ([on.type for on in fills], [on.type for on in empties]) == (["product_added"], ["product_removed"])


def test_a_file_names_no_groups_that_there_are_not(tmp_path: Path) -> None:
    assert "line 1: Kafka: there is no such setting, did you mean kafka?" in told(
        tmp_path, "[Kafka]\ngroup = 'x'\n"
    )
    assert "_cli_parse_args: there is no such setting" in told(tmp_path, "_cli_parse_args = true\n")
    assert "config: there is no such setting" in told(tmp_path, "config = 'other.toml'\n")


def test_what_a_file_renames_is_told_by_the_name_in_the_file(tmp_path: Path) -> None:
    wrong = '[funnels.basket]\nname = "till"\nopens_on = ["nope"]\n'
    assert "line 3: funnels.basket.opens_on: no such event type: nope" in told(tmp_path, wrong)
    assert "line 1: funnels.step: a funnel's name" in told(tmp_path, FUNNEL.replace("pickup", "step", 1))


def test_servers_that_a_file_names_are_not_those_of_the_stack_that_runs_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of the stack's settings only where it is counts for who has another file."""
    stack = {"CX_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "CX_CONFIG": "x", "CX_FUNNELS__PICKUP__TIMEOUT_S": "1"}
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    running.remember(stack)
    file = tmp_path / "shop.toml"
    monkeypatch.setenv("CX_CONFIG", str(file))
    file.write_text('[kafka]\nbootstrap_servers = "prod:9092"\n')
    assert load().kafka.bootstrap_servers == "prod:9092"
    file.write_text("[funnels.cart]\ntimeout_s = 60\n")
    found = load()
    assert (found.kafka.bootstrap_servers, found.funnels.cart.timeout_s) == ("127.0.0.1:1", 60)
    running.forget()
