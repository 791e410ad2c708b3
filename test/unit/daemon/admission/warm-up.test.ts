import { expect, test } from 'vitest';
import { warmUpSpec } from '../../../../src/daemon/admission/warm-up.js';
import { processSpec } from '../../../../src/oci/spec.js';

const OPTIONS = { listenerPath: '/x', waitKillable: false, refuseFastOpen: false, machine: 'x64' };

test('the warm-up is a spec that is accelerated, each round another one', () => {
  const [first, second] = [warmUpSpec(0), warmUpSpec(1)];
  expect(first).not.toBe(second);
  expect(processSpec(first, OPTIONS).result).toMatchObject({ accelerated: true });
});
