"""How the ledger is changed and asked: commands, questions, HTTP, command line, servers."""
