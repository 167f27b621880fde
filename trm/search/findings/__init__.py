"""What a sweep found: tables, importance, audit, confirmation, transfer, status, replay."""
