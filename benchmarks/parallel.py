"""How several processes learn together, beside one with a batch as large as theirs.

Accelerate launches the processes, with its extra installed; on a machine without CUDA
they talk through gloo. A small network learns to take noise from crops of the bundled
photographs, of which two are held out. For each epoch of the restoration's stage the
table shows the mean loss of the fits of several seeds, and how far they spread (the
standard deviation); the second one the PSNR of the held-out photographs and the pace.
The last line tells how long it takes to average the gradients of the network that
ships, as in each step.

    python benchmarks/parallel.py [--processes 2] [--seeds 3] [--epochs 40] [--quick]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

from table import print_table

LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_processes"]
BATCH = 8  # crops of each process
HELD_OUT = 2  # photographs


def learn(seed, epochs, batch_size):
    """Fit in this process and those launched with it; the first prints what came."""
    import torch
    from accelerate import PartialState

    from colorvae_sk import ColorVAE, GaussianNoise, load_photos

    torch.set_num_threads(1)
    state = PartialState(cpu=not torch.cuda.is_available())
    noise = GaussianNoise(0.1, random_state=0)
    photos = [photo[::2, ::2] for photo in load_photos()]
    clean, unseen = photos[HELD_OUT:], photos[:HELD_OUT]
    vae = ColorVAE(
        widths=(16, 32),
        n_blocks=1,
        patch_size=32,
        batch_size=batch_size,
        degradation=noise,
        max_epochs=epochs,
        device=state.device,
        random_state=seed,
    )
    began = time.perf_counter()
    vae.fit(clean)
    elapsed = time.perf_counter() - began
    if not state.is_main_process:
        return
    rows = [row for row in vae.history_ if row["stage"] == "restoration"]
    n_steps = sum(row["n_steps"] for row in vae.history_)
    result = {
        "curve": [row["train_loss"] for row in rows],
        "PSNR": vae.score(noise.transform(unseen), unseen),
        "steps": n_steps,
        "crops/s": n_steps * batch_size * state.num_processes / elapsed,
    }
    print(json.dumps(result))


def exchange(repeats=20):
    """Average gradients in this process and in those launched with it, and time it."""
    import torch
    from accelerate import PartialState

    from colorvae_sk import load_pretrained
    from colorvae_sk._parallel import Team

    torch.set_num_threads(1)
    state = PartialState(cpu=not torch.cuda.is_available())
    network = load_pretrained(device=state.device).net_.module_
    team, seconds = Team(state.device), []
    for _ in range(repeats):
        began = time.perf_counter()
        team.average(network.parameters())  # and waits for what came
        seconds.append(time.perf_counter() - began)
    n_weights = sum(p.numel() for p in network.parameters())
    if state.is_main_process:
        result = {"weights": n_weights, "seconds": statistics.median(seconds)}
        print(json.dumps(result))


def launch(n_processes, *arguments):
    """What the first of so many processes of this script prints."""
    through = [*LAUNCH, str(n_processes)] if n_processes > 1 else []
    command = [sys.executable, *through, __file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def fits(n_processes, batch_size, options):
    """What the fits of all seeds came to, each in processes of its own."""
    given = "--epochs", options.epochs, "--batch", batch_size, "--child"
    return [launch(n_processes, *given, seed) for seed in range(options.seeds)]


def spread(values):
    """Standard deviation of these, 0 of a single one."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def curves(one, several):
    """Rows of the first table."""
    for epoch in range(len(one[0]["curve"])):
        alone, together = ([r["curve"][epoch] for r in way] for way in (one, several))
        yield {
            "epoch": epoch + 1,
            "one process": statistics.mean(alone),
            "its spread": spread(alone),
            "several": statistics.mean(together),
            "their spread": spread(together),
        }


def summary(name, results):
    """A row of the second table."""
    scores = [result["PSNR"] for result in results]
    return {
        "who": name,
        "steps": results[0]["steps"],
        "PSNR": statistics.mean(scores),
        "its spread": spread(scores),
        "crops/s": statistics.mean(result["crops/s"] for result in results),
    }


def main():
    """Fit in one process and in several, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="one seed, few epochs")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--exchange", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=BATCH, help="of each process")
    options = parser.parse_args()
    if options.exchange:
        exchange()
        return
    if options.child is not None:
        learn(options.child, options.epochs, options.batch)
        return
    if options.quick:
        options.seeds, options.epochs = 1, 4
    total = options.processes * options.batch
    one = fits(1, total, options)
    several = fits(options.processes, options.batch, options)
    half = fits(1, options.batch, options)
    print_table(list(curves(one, several)))
    print()
    print_table(
        [
            summary(f"one process, batch of {total}", one),
            summary(f"{options.processes} processes, {options.batch} each", several),
            summary(f"one process, batch of {options.batch}", half),
        ]
    )
    cost = launch(options.processes, "--exchange")
    print(f"\nTo average {cost['weights']} gradients: {cost['seconds']:.4f} s.")


if __name__ == "__main__":
    main()
