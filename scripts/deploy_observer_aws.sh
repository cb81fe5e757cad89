#!/usr/bin/env bash
# Puts the recorder on AWS, looks after it, takes it down. See docs/how-to/run-on-ec2.md.
#
#   scripts/deploy_observer_aws.sh MARKETS BUCKET [REGION] [--dry-run] [--help]
#   scripts/deploy_observer_aws.sh status  BUCKET [REGION]
#   scripts/deploy_observer_aws.sh destroy BUCKET [REGION]     (keeps the bucket)
set -euo pipefail

checkout=$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && cd .. && pwd)
python=$checkout/.venv/bin/python
[ -x "$python" ] || python=python3
if ! PYTHONPATH=$checkout "$python" -c 'import boto3, tyro' 2>/dev/null; then
  echo "error: boto3 is not installed. From the checkout: make install" >&2
  exit 1
fi
PYTHONPATH=$checkout exec "$python" -m deploy.aws "$@"
