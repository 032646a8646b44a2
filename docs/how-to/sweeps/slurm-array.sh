#!/bin/bash
# A sweep as a SLURM array: sbatch slurm-array.sh SPEC OUT
# SPEC is a spec file or a study; OUT is on the file system that all nodes share.
#SBATCH --job-name=undergrowth
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -eu

shards=${SHARDS:-16} # as many as the array has tasks
scratch=${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/undergrowth-${SLURM_ARRAY_JOB_ID:-0}-$SLURM_ARRAY_TASK_ID

# exec: SIGTERM, two minutes before the time is up, goes to undergrowth, which publishes what is finished
exec undergrowth sweep "$1" --out "$2" --shard "$SLURM_ARRAY_TASK_ID/$shards" \
    --workers "${SLURM_CPUS_PER_TASK:-1}" --scratch "$scratch"
