"""Secrets come from the environment or from files, and are never told."""

from pathlib import Path

import pytest

from pipeline.settings import SettingsError, load, rules_digest

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
    with pytest.raises(SettingsError, match=r"CX_WEB__TOKEN_FILE: .*/token cannot be read"):
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


def test_another_customer_key_is_another_state_and_none_is_as_before() -> None:
    plain = rules_digest(load({}))
    keyed = rules_digest(load({"CX_PRIVACY__CUSTOMER_KEY": KEY}))
    other = rules_digest(load({"CX_PRIVACY__CUSTOMER_KEY": KEY[::-1]}))
    assert len({plain, keyed, other}) == 3
