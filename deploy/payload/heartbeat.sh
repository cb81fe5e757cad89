#!/usr/bin/env bash
# One number for CloudWatch: 1 where the recorder answers and has no complaint, else 0. No number at all means a dead
# box, and the alarm takes it as such.
set -euo pipefail

is_healthy=0
if curl --silent --fail --max-time 5 --output /dev/null http://127.0.0.1:9464/health; then
  is_healthy=1
fi
aws cloudwatch put-metric-data --namespace mlx-rl --metric-name Healthy --unit None \
  --dimensions "Stack=$STACK" --value "$is_healthy"
