"""MLflow on Postgres and S3 whose passwords are files: makes the bucket, then becomes `mlflow server` with its arguments.

Passwords stand in no address, so no log shows them. Where Postgres is say libpq's own variables (PGHOST, PGUSER, PGDATABASE).
"""

import json
import os
import sys
from pathlib import Path

import boto3

BUCKET = "mlflow"


def main() -> None:
    """Read the secrets, make the bucket where there is none, and become the server."""
    secrets = Path(os.environ.get("SECRETS", "/run/secrets"))
    keys = json.loads((secrets / "s3.json").read_text())["identities"][0]["credentials"][0]
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = keys["accessKey"], keys["secretKey"]
    os.environ["PGPASSWORD"] = (secrets / "postgres_password").read_text().strip()
    store = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    if BUCKET not in {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}:
        store.create_bucket(Bucket=BUCKET)
    where = ["--backend-store-uri", "postgresql+psycopg://", "--artifacts-destination", f"s3://{BUCKET}"]
    os.execvp("mlflow", ["mlflow", "server", *where, *sys.argv[1:]])


if __name__ == "__main__":
    main()
