"""Argument specs of roles, as Ansible itself validates by them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from bmk.ansible.specs import argument_specs, defaults
from bmk.ansible.variables import ROLES, USES


def options(role: str) -> dict[str, Any]:
    """Those of its own variables: the inventory's come from elsewhere."""
    spec: dict[str, Any] = argument_specs(role)["argument_specs"]["main"]["options"]
    return {name: option for name, option in spec.items() if name in ROLES[role].model_fields}


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_valid_by_the_spec(role: str) -> None:
    """What a role sets when nobody says otherwise passes its own spec, and comes out of it unchanged."""
    values = {name: value for name, (_, value) in defaults(role).items()}
    result = ArgumentSpecValidator(options(role)).validate(values)
    assert result.error_messages == []
    assert result.validated_parameters == values


def test_a_wrong_value_is_refused_by_name() -> None:
    """A list with something else than its elements, a word where a number belongs: the variable is named."""
    for name, value in (("control_plane_health_port", "http"), ("control_plane_health_port", [])):
        result = ArgumentSpecValidator(options("control_plane")).validate({name: value})
        assert name in " ".join(result.error_messages)


@pytest.mark.parametrize("role", ROLES)
def test_each_entry_point_requires_what_it_takes_from_the_inventory(role: str) -> None:
    """A variable of the inventory that is missing is an error before the first task."""
    for entry, names in USES[role].items():
        spec = argument_specs(role)["argument_specs"][entry]["options"]
        assert set(names) <= set(spec)
        assert not [name for name in names if "default" in spec[name]]
