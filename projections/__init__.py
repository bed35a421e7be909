"""What is derived from the ledger: views in Postgres and topics in Kafka."""
