/** Socket options that a program set before it connects: all there afterwards, or the socket is not switched. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOnLab } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import {
  type Container,
  difference,
  ENABLED,
  podmanRun,
  startContainer,
} from './support/podman.js';

const PROBE = readFileSync(new URL('./probes/options.py', import.meta.url), 'utf8');

function lines(output: string): readonly string[] {
  return output.trim().split('\n');
}

describeOnLab('socket options', () => {
  let accelerated: Container;
  beforeAll(async () => {
    accelerated = await startContainer({ annotations: ENABLED });
  });
  afterAll(() => accelerated.remove());

  async function inContainer(list: 'carried' | 'kept-back') {
    const before = await countersOf(accelerated);
    const output = await accelerated.output(['python3', '-', list], { stdin: PROBE });
    return { read: lines(output), moved: difference(before, await countersOf(accelerated)) };
  }

  test('what can be read back is carried over', async () => {
    const command = ['python3', '-', 'carried'];
    const host = await podmanRun({ network: 'host', command, stdin: PROBE });
    expect(host.status, host.stderr).toBe(0);
    const { read, moved } = await inContainer('carried');
    expect(read).toEqual(lines(host.stdout));
    expect(read.length).toBeGreaterThan(45);
    expect(moved).toMatchObject({ switched: read.length, fallback: 0 });
  });

  test('what cannot be is a reason not to switch', async () => {
    const { read, moved } = await inContainer('kept-back');
    expect(read.filter((line) => line.includes('not set'))).toEqual([]);
    expect(moved).toMatchObject({ switched: 0, reasons: { 'socket-option': read.length } });
  });
});
