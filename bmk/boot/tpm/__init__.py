"""Attestation by TPM, on the deployer: which TPM a host has, the challenge that only this can meet, and its quote."""
