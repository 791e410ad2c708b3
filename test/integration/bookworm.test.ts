/**
 * The oldest Podman we support (4.3, Debian bookworm), in a lab of its own: install, run accelerated with each
 * runtime, uninstall. The first time the lab builds its root file system, which takes minutes.
 */
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { findFallbackPrograms, unclassifiedOptions } from './support/fallback.js';
import { describeOnLab, Host, lab, REMOTE } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { RUNTIMES } from './support/places.js';
import { ENABLED, podmanRun, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';

const BUILD_MS = 1_500_000;
const PAGE = 'hello from remote\n';

describeOnLab('Podman 4.3', () => {
  const labEnv = { LAB_NAME: `${inject('lab').name}-bookworm`, LAB_SUITE: 'bookworm' };
  const host = new Host('host1', labEnv);

  beforeAll(async () => {
    const up = await lab(['up'], { labEnv, timeout: BUILD_MS });
    if (up.status !== 0) throw new Error(up.stderr);
  }, BUILD_MS);
  afterAll(async () => {
    await lab(['down'], { labEnv });
  });

  test('is what runs', async () => {
    expect(await host.output(['podman', '--version'])).toMatch(/^podman version 4\.3\./);
    await host.output(['podman', 'info']);
  });

  test.each(
    RUNTIMES.flatMap((runtime) => [
      { runtime, network: 'slirp4netns' },
      { runtime, network: 'bridge' },
    ]),
  )('an accelerated container with $runtime on $network', async ({ runtime, network }) => {
    const container = await startContainer({ host, runtime, network, annotations: ENABLED });
    expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    expect(await countersOf(container)).toMatchObject({ switched: 1 });
    expect((await container.exec(['getent', 'hosts', 'remote.lab'])).status).toBe(0);
    await container.remove();
    const annotations = { 'sockswitch/enable': 'perhaps' };
    const refused = await podmanRun({ host, runtime, network, annotations, command: ['true'] });
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toContain('sockswitch/enable is "perhaps"');
  });

  test('its fallback programs: every option is classified, taps are found', async () => {
    expect(await unclassifiedOptions(host, 'pasta')).toEqual([]);
    expect(await unclassifiedOptions(host, 'slirp4netns')).toEqual([]);
    const container = await startContainer({ host, network: 'slirp4netns' });
    const bridge = await startContainer({ host, network: 'bridge' });
    const expected = { kind: 'slirp4netns', device: 'tap0', obstacle4: '', obstacle6: '' };
    const found = await findFallbackPrograms(host);
    expect(found.filter((program) => !program.servesBridges)).toMatchObject([expected]);
    expect(found.filter((program) => program.servesBridges)).toMatchObject([expected]);
    await container.remove();
    await bridge.remove();
  });

  test('sockswitch with, which has no CONTAINERS_CONF_OVERRIDE here', async () => {
    const run = ['podman', 'run', '--rm', 'localhost/lab', ...curl(REMOTE.v4)];
    const page = await host.run(['sockswitch', 'with', '--required', '--', ...run]);
    expect(page).toMatchObject({ status: 0, stdout: PAGE });
    const last = ['tail', '-n', '1', 'sockswitch-daemon.log'];
    expect(await host.output(last)).toContain('"switched":1,"fallback":0');
    const container = await startContainer({ host, network: 'slirp4netns' });
    expect(await container.counters(), 'nothing is left of it').toBeUndefined();
    await container.remove();
    const script = `
set -e
directory=$(mktemp -d); trap 'rm -rf "$directory"' EXIT; cd "$directory"
printf 'FROM localhost/lab\\nRUN curl -sS http://${REMOTE.v4}/\\n' >Containerfile
sockswitch with -- podman build --no-cache .
tail -n 1 ~/sockswitch-daemon.log`;
    const build = await host.sh(script);
    expect(build.status, build.stderr).toBe(0);
    expect(build.stdout).toContain(PAGE);
    expect(build.stdout).toContain('"switched":1,"fallback":0');
  });

  test('uninstall twice, install twice', async () => {
    await host.output(['sockswitch', 'uninstall']);
    expect(await host.output(['sockswitch', 'uninstall'])).toContain('absent');
    await host.output(['podman', 'info']);
    await host.output(['sockswitch', 'install']);
    expect(await host.output(['sockswitch', 'install'])).toContain('unchanged');
    const page = await podmanRun({
      ...{ host, network: 'slirp4netns', annotations: ENABLED },
      command: curl(REMOTE.v4),
    });
    expect(page).toMatchObject({ status: 0, stdout: PAGE });
  });
});
