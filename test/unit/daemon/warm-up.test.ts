import { test } from 'vitest';
import { warmUp } from '../../../src/daemon/warm-up.js';

test('the warm-up is a spec that is accelerated', () => {
  warmUp({ listenerPath: '/x', waitKillable: false, refuseFastOpen: false, machine: 'x64' });
});
