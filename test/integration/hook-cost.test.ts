/**
 * What the annotation adds to `podman run`, and what Podman takes for a precreate hook that does nothing (`cat`). Figures, not
 * verdicts: they are for an idle machine.
 */
import { expect, test } from 'vitest';
import { describeOnLab, host1 } from './support/lab.js';
import { RUNTIMES } from './support/places.js';

const ROUNDS = 20;

/** Interleaved, in one process on the host, so that nothing but podman is measured. Milliseconds, as JSON. */
const MEASURE = `
import json, os, subprocess, sys, tempfile, time
runtime, rounds = sys.argv[1], int(sys.argv[2])
def run(before, after):
    begin = time.monotonic_ns()
    subprocess.run(['podman', '--runtime', runtime, *before, 'run', '--rm', *after, 'localhost/lab', 'true'], check=True)
    return (time.monotonic_ns() - begin) / 1e6
with tempfile.TemporaryDirectory() as hooks:
    with open(os.path.join(hooks, 'cat.json'), 'w') as file:
        hook = {'path': '/usr/bin/cat', 'args': ['cat']}
        json.dump({'version': '1.0.0', 'hook': hook, 'when': {'always': True}, 'stages': ['precreate']}, file)
    ways = {'plain': ([], []), 'empty': (['--hooks-dir', hooks], []), 'annotated': ([], ['--annotation', 'sockswitch/enable=true'])}
    times = {way: [] for way in ways}
    for number in range(rounds):
        for turn in range(len(ways)):
            way = list(ways)[(number + turn) % len(ways)]
            times[way].append(run(*ways[way]))
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
      'plain' | 'empty' | 'annotated',
      number[]
    >;
    expect(times.plain).toHaveLength(ROUNDS);
    expect(times.annotated).toHaveLength(ROUNDS);
    expect(times.empty).toHaveLength(ROUNDS);
    const plain = median(times.plain);
    const added = (way: 'empty' | 'annotated') => (median(times[way]) - plain).toFixed(1);
    console.log(
      `podman run with ${runtime}, median of ${ROUNDS}: ${plain.toFixed(1)} ms; a precreate hook that does nothing adds ` +
        `${added('empty')} ms, the annotation ${added('annotated')} ms`,
    );
  });
});
