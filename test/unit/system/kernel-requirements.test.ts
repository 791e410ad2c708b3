import { expect, test } from 'vitest';
import { requireKernel } from '../../../src/system/kernel-requirements.js';
import { FEATURES } from '../daemon/fake-engine.js';

test('a kernel that is too old is refused with what it lacks', () => {
  requireKernel(FEATURES);
  expect(() => requireKernel({ ...FEATURES, addfd: false, netnsCookie: false })).toThrow(
    /5\.9.*5\.14/,
  );
  expect(() => requireKernel({ ...FEATURES, pinningProblem: 'EPERM on SO_BINDTODEVICE' })).toThrow(
    /EPERM on SO_BINDTODEVICE/,
  );
});
