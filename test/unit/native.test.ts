import { expect, test } from 'vitest';
import { program, start } from './native/programs.js';

test('native unit tests', async () => {
  const { status, stdout, stderr } = await start(program('native-tests'), []).ended;
  expect(status, `${stdout}\n${stderr}`).toBe(0);
}, 60_000);
