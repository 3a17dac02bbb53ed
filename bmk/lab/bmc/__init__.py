"""Emulated BMCs of the lab: Redfish by sushy-tools, IPMI by ipmi_sim."""
