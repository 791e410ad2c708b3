/** The quick reader of `with`'s command line says what the whole one says, or leaves it to that. */
import { expect, test, vi } from 'vitest';
import { createProgram } from '../../../src/program.js';
import { readQuickly } from '../../../src/with/quick-words.js';

const withCommand = vi.hoisted(() => vi.fn());
vi.mock('../../../src/commands/with.js', () => ({ withCommand }));

test.each([
  '-- podman run -it image',
  'podman --ignore x',
  '--shell',
  '--required --ignore 10.0.0.0/8 --ignore=fd00::/8 -- make up',
  '--preset kubernetes --pod-cidr 10.1.0.0/16 --service-cidr=10.2.0.0/16 -- kind create cluster',
  '--firewall respect --firewall=ignore --names host --pods egress,10.20.0.0/16 -- true',
  '--tunnels -- true',
  '--tunnels=false --required -- true',
  '-- true -- false',
])('%s', async (line) => {
  const words = line.split(' ');
  const quick = readQuickly(words);
  withCommand.mockClear();
  await createProgram().parseAsync(['with', ...words], { from: 'user' });
  const [[given, options]] = withCommand.mock.calls as [[string[], object]];
  expect(quick).toEqual({ words: given, options });
});

test('every option of the whole one', () => {
  const verb = createProgram().commands.find((command) => command.name() === 'with');
  const values: Readonly<Record<string, string>> = { '--preset': 'kubernetes', '--names': 'host' };
  for (const { long, required } of verb?.options ?? []) {
    const words = [long ?? '', ...(required ? [values[long ?? ''] ?? 'ignore'] : []), '--', 'true'];
    expect(readQuickly(words), long ?? '').toMatchObject({ words: ['true'] });
  }
});

test.each([
  '--help',
  '-h',
  '--no-such -- true',
  '--firewall off -- true',
  '--ignore',
  '--ignore -- true',
  '--ignore= -- true',
  '--required=true -- true',
  '--tunnels 8472 -- true',
  '--tunnels',
])('left to the whole one: %s', (line) => {
  expect(readQuickly(line.split(' '))).toBeUndefined();
});
