"""Attestation by TPM, on the deployer: which TPM a host has, a challenge that only this TPM can answer, its quote."""
