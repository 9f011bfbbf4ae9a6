"""Secrets come from the environment or from files, and are never told."""

import traceback
from pathlib import Path

import pytest

from pipeline.durability.recovery import digest_of
from pipeline.settings import SettingsError, customers_digest, load, rules_digest

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
