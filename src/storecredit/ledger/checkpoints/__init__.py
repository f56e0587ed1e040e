"""Tamper evidence: each owner's movements in a hash chain, all chains in signed checkpoints.

Hides the hashes, trees and signatures, and when they are made. Promises that nothing of it is on
the way of a movement of credits, and that whoever holds a checkpoint and the operator's public key
can see by files alone whether a ledger is what was signed (docs/proof.md has the bytes).
"""
