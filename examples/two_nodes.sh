#!/bin/bash
#SBATCH --nodes 2
#SBATCH --ntasks-per-node 1
#SBATCH --gpus-per-node 8
#SBATCH --cpus-per-task 64
# Train on two nodes with 16 GPUs: two ranks of the trainer and, for each of them, seven replicas of vLLM.
#
#     sbatch examples/two_nodes.sh                        # further words are options of kgym train
#
# Without SLURM, run on each of the nodes, with the address of the first as HEAD and its own number, from 0:
#
#     HEAD=ADDRESS SLURM_NNODES=2 SLURM_NODEID=NUMBER bash examples/two_nodes.sh
#
# The virtual environment, this folder and the model have the same paths on both nodes.
set -euo pipefail

if [ -z "${HEAD:-}" ]; then
    HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    export HEAD
    exec srun --kill-on-bad-exit bash "$SLURM_SUBMIT_DIR/examples/two_nodes.sh" "$@"
fi

export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token} # kept in the home folder, which the nodes share
address=$HEAD:${PORT:-6379}
if [ "$SLURM_NODEID" != 0 ]; then
    until (exec 3<> "/dev/tcp/${address%:*}/${address##*:}") 2> /dev/null; do sleep 1; done
    exec ray start --address "$address" --block ${RAY_OPTIONS:-}
fi

[ "$RAY_AUTH_MODE" != token ] || ray get-auth-token --generate > /dev/null
ray start --head --port "${address##*:}" --block ${RAY_OPTIONS:-} > "ray-head-${SLURM_JOB_ID:-$$}.log" 2>&1 &
head=$!
trap 'kill $head' EXIT
until (exec 3<> "/dev/tcp/${address%:*}/${address##*:}") 2> /dev/null; do
    kill -0 $head # ends this script if Ray has not started
    sleep 1
done
python - "$address" "$SLURM_NNODES" << 'END'
import sys, time, ray
ray.init(sys.argv[1], logging_level="ERROR")
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
    time.sleep(1)
END

kgym train --ranks 2 --cluster "$address" --engine ray --set engine.of=vllm engine.replicas=7 "$@"
