import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { program, start } from './native/programs.js';

test('native unit tests', async () => {
  const { status, stdout, stderr } = await start(program('native-tests'), []).ended;
  expect(status, `${stdout}\n${stderr}`).toBe(0);
}, 60_000);

// Installing the npm package asks them so whether they run here.
test.each([
  'sockswitch-start',
  'sockswitch-front',
  'sockswitch-precreate',
  'sockswitch-keeper',
  'sockswitch-netns',
  'sockswitch-guard',
  'sockswitch-names',
  'sockswitch-repin',
])('%s ends at an argument that it does not know, whatever it inherits', async (name) => {
  // Descriptors 3 to 5 are sockets, as the daemon's would be, from which nothing comes.
  const stdio = Array.from({ length: 6 }, () => 'pipe' as const);
  const child = spawn(program(name), ['--unknown'], { env: {}, stdio });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const [status] = await once(child, 'exit');
  expect(status).toBeGreaterThan(0);
});
