/** What the annotation adds to `podman run`. A figure, not a verdict: the goal (at most 5 ms) is for an idle machine. */
import { expect, test } from 'vitest';
import { describeOnLab, host1 } from './support/lab.js';
import { RUNTIMES } from './support/places.js';

const ROUNDS = 20;

/** Interleaved, in one process on the host, so that nothing but podman is measured. Milliseconds, as JSON. */
const MEASURE = `
import json, subprocess, sys, time
runtime, rounds = sys.argv[1], int(sys.argv[2])
def run(*annotation):
    begin = time.monotonic_ns()
    subprocess.run(['podman', '--runtime', runtime, 'run', '--rm', *annotation, 'localhost/lab', 'true'], check=True)
    return (time.monotonic_ns() - begin) / 1e6
times = {'plain': [], 'annotated': []}
for number in range(rounds):
    for which in ('plain', 'annotated') if number % 2 else ('annotated', 'plain'):
        times[which].append(run(*(['--annotation', 'sockswitch/enable=true'] if which == 'annotated' else [])))
print(json.dumps(times))
`;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}

describeOnLab('the cost of the hook', () => {
  test.each(RUNTIMES)('with %s', async (runtime) => {
    const argv = ['python3', '-c', MEASURE, runtime, String(ROUNDS)];
    const times = JSON.parse(await host1.output(argv, { timeout: 170_000 })) as Record<
      'plain' | 'annotated',
      number[]
    >;
    expect(times.plain).toHaveLength(ROUNDS);
    expect(times.annotated).toHaveLength(ROUNDS);
    const [plain, annotated] = [median(times.plain), median(times.annotated)];
    const pairs = median(times.plain.map((time, round) => (times.annotated[round] ?? 0) - time));
    console.log(
      `podman run with ${runtime}, median of ${ROUNDS}: ${plain.toFixed(1)} ms, annotated ${annotated.toFixed(1)} ms; ` +
        `the annotation adds ${(annotated - plain).toFixed(1)} ms (median of pairs ${pairs.toFixed(1)} ms)`,
    );
  });
});
