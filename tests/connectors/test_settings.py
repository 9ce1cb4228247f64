from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from hub.connectors import connectors
from hub.connectors.settings import ConnectTo, ListenAt, Secret, Settings, SftpFolder, WebAddress
from hub.core.secret import SecretName


class Example(Settings):
    key: Secret


def refusal(kind: object, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    return str(caught.value)


def test_a_secret_is_a_name_in_a_table() -> None:
    assert Example.model_validate({"key": {"secret": "clearway_key"}}).key == SecretName("clearway_key")


def test_a_secret_written_in_the_file_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"key": "hunter2-hunter2"})
    assert "never written here" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", [{"secret": "Not A Name"}, {"secret": 7}, {"secret": "a", "x": 1}, 7, None])
def test_only_a_well_formed_name_is_a_secret(value: object) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate({"key": value})


def test_a_secret_survives_the_way_to_a_worker() -> None:
    example = Example.model_validate({"key": {"secret": "clearway_key"}})
    assert Example.model_validate(example.model_dump(mode="json")) == example


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("tcp:2575", "", 2575),
        ("tcp:127.0.0.1:0", "127.0.0.1", 0),
        ("tcp:[::1]:2575", "::1", 2575),
        ("tcp:hub.clinic.example:6661", "hub.clinic.example", 6661),
    ],
)
def test_a_listening_place_is_a_port_with_or_without_an_interface(text: str, host: str, port: int) -> None:
    endpoint = TypeAdapter(ListenAt).validate_python(text)
    assert (endpoint.host, endpoint.port, str(endpoint)) == (host, port, text)


@pytest.mark.parametrize("text", ["2575", "tcp:70000", "udp:2575", "tcp:a b:1", 2575])
def test_anything_else_is_no_place_to_listen(text: object) -> None:
    assert "a place to listen is" in refusal(ListenAt, text)


def test_a_sender_needs_a_host() -> None:
    assert "tcp:host:port" in refusal(ConnectTo, "tcp:2575")


def test_an_sftp_folder_has_a_host_a_port_and_a_path() -> None:
    endpoint = TypeAdapter(SftpFolder).validate_python("sftp://files.clearway.example/inbound/")
    assert (endpoint.host, endpoint.port, endpoint.path) == ("files.clearway.example", 22, "/inbound")
    assert "sftp://" in refusal(SftpFolder, "sftp://alder:password@files.clearway.example/inbound")


def test_a_token_crosses_no_network_in_clear() -> None:
    assert TypeAdapter(WebAddress).validate_python("http://127.0.0.1:8080/fhir")
    assert "https://" in refusal(WebAddress, "http://ehr.clinic.example/fhir")


def test_every_setting_of_every_connector_is_documented_with_an_example() -> None:
    undocumented = [
        f"{connector.name}: {name}"
        for connector in connectors().values()
        for model in (connector.source_settings, connector.destination_settings)
        if model is not None
        for name, field in model.model_fields.items()
        if not field.description or not field.examples
    ]
    assert undocumented == []


def test_the_connectors_of_the_package_are_found_by_name() -> None:
    assert {"mllp", "http", "fhir", "fhir_read", "sftp", "files"} <= set(connectors())
    assert all(name == connector.name for name, connector in connectors().items())
