/**
 * A container may lose acceleration, never connectivity: here the helper program that enters a container's
 * namespaces fails, as it would after an upgrade in place. The installation is a copy, so that it can be broken.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { grantGuard } from './support/daemon.js';
import { FreshUser } from './support/fresh-user.js';
import { describeOnLab, eventually, host2, REMOTE, type Server } from './support/lab.js';
import { RUNTIMES } from './support/places.js';
import { curl } from './support/programs.js';

const PAGE = 'hello from remote\n';

const COPY = `
mkdir -p copy/build
cp -r /opt/sockswitch/dist /opt/sockswitch/package.json copy/
cp -r /opt/sockswitch/build/Release copy/build/
ln -s /opt/sockswitch/node_modules copy/node_modules
mv copy/build/Release/sockswitch-netns helper
printf '#!/bin/sh\\nexit 1\\n' >broken && chmod +x broken`;

describeOnLab('with a broken helper', () => {
  const user = new FreshUser(host2, 'degraded');
  let daemon: Server;
  const useHelper = (which: 'helper' | 'broken') =>
    user.output(['sh', '-c', `cp -f ${which} copy/build/Release/sockswitch-netns`]);
  const switched = async (): Promise<number> => {
    const json = await user.output(['sockswitch', 'ps', '--json']);
    const { containers } = JSON.parse(json) as { containers: { counts: { switched: number } }[] };
    return containers[0]?.counts.switched ?? 0;
  };

  beforeAll(async () => {
    await user.create();
    await user.output(['bash', '-ec', COPY]);
    await grantGuard(`${user.home}/copy`, host2);
    await user.output(['node', 'copy/dist/cli.js', 'install']);
  });
  afterAll(() => user.remove());

  test.each(RUNTIMES)('a container has its network, and %s can exec in it', async (runtime) => {
    await useHelper('broken');
    daemon = await user.daemon(['node', `${user.home}/copy/dist/cli.js`, 'daemon']);
    const run = ['podman', '--runtime', runtime, 'run', '--detach', '--replace', '--name=degraded'];
    const options = ['--network=pasta', '--annotation=sockswitch/enable=true', 'localhost/lab'];
    const fetchPage = `${curl(REMOTE.v4).join(' ')}; exec sleep infinity`;
    await user.output([...run, ...options, 'sh', '-c', fetchPage]);
    await eventually('the page', async () =>
      (await user.output(['podman', 'logs', 'degraded'])) === PAGE ? true : undefined,
    );
    expect(await user.output(['podman', 'exec', 'degraded', ...curl(REMOTE.v4)])).toBe(PAGE);
    expect(await switched()).toBe(0);
    expect(await user.output(['sockswitch', 'ps'])).toContain('unknown-way');

    // Once the helper is back, so is acceleration.
    await useHelper('helper');
    await eventually('a switched connection', async () => {
      expect(await user.output(['podman', 'exec', 'degraded', ...curl(REMOTE.v4)])).toBe(PAGE);
      return (await switched()) > 0 ? true : undefined;
    });
    await user.output(['podman', 'rm', '--force', '--time=0', 'degraded']);
    await daemon.stop();
  });
});
