"""What is decided and on what evidence: comparison, operating points."""
