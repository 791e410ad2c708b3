/**
 * The units that `sockswitch install` writes, under a real systemd user instance: hardened as they are, the
 * daemon does its work; both come back whatever ends them, and the keeper's descriptors with it.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { daemonStatus } from './support/daemon.js';
import { describeOnLab, eventually, host2, lab, REMOTE } from './support/lab.js';
import { ENABLED, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';
import { startSystemd, stopSystemd, writeUnits } from './support/systemd.js';

const PAGE = 'hello from remote\n';
const UNITS = ['sockswitch', 'sockswitch-keeper'];

const ok = (...argv: string[]): Promise<string> => host2.output(argv);
async function property(unit: string, name: string): Promise<string> {
  return (await ok('systemctl', '--user', 'show', unit, '-p', name, '--value')).trim();
}

async function daemonAnswers(): Promise<void> {
  await eventually('the daemon', async () =>
    (await host2.run(['sockswitch', 'status'])).status === 0 ? true : undefined,
  );
}

/** As docs/operations.md tells it. */
function documentedExposure(): Record<string, string> {
  const text = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const [, daemon = '', keeper = ''] =
    /<!-- exposure -->daemon ([0-9.]+), keeper ([0-9.]+)<!-- end of exposure -->/.exec(text) ?? [];
  return { sockswitch: daemon, 'sockswitch-keeper': keeper };
}

describeOnLab('under systemd', () => {
  beforeAll(async () => {
    await ok('sockswitch', 'stop'); // the keeper, too
    await startSystemd();
    await ok('sockswitch', 'install');
    await daemonAnswers();
  });
  afterAll(async () => {
    await host2.run(['systemctl', '--user', 'disable', '--now', 'sockswitch']);
    await stopSystemd();
    await lab(['daemon', 'start', 'host2']);
  });

  test('a container is accelerated by the hardened daemon', async () => {
    const container = await startContainer({ host: host2, annotations: ENABLED });
    expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    expect(await container.counters()).toMatchObject({ switched: 1 });
    expect(await property('sockswitch', 'NoNewPrivileges')).toBe('yes');
    // Programs that the daemon starts itself have no capabilities under NoNewPrivileges=.
    const status = await daemonStatus(host2);
    expect(status.kernel.socketGuard, 'by its own unit').toBe(true);
    expect(status.hostNames, "clients' names, by their unit").toBeUndefined();
    expect(status.staysPinned, 'following the network, by its unit').toBeUndefined();
    await container.remove();
  });

  test.each(UNITS)('the exposure of %s is what the documentation says', async (unit) => {
    const path = `.config/systemd/user/${unit}.service`;
    const rating = ['systemd-analyze', 'security', '--user', '--offline=true', path];
    const exposure = /exposure level for \S+: ([0-9.]+)/.exec(await ok(...rating))?.[1];
    expect(exposure).toBe(documentedExposure()[unit]);
  });

  test.each([
    ['the daemon is restarted', ['restart', 'sockswitch']],
    ['the daemon is killed', ['kill', '--signal=KILL', 'sockswitch']],
    ['the keeper is killed', ['kill', '--signal=KILL', 'sockswitch-keeper']],
    ['both are killed at once', ['kill', '--signal=KILL', ...UNITS]],
  ])('%s, and nothing is lost', async (_, words) => {
    const container = await startContainer({ host: host2, annotations: ENABLED });
    const before = await Promise.all(UNITS.map((unit) => property(unit, 'MainPID')));
    const stored = await property('sockswitch-keeper', 'NFileDescriptorStore');
    expect(Number(stored), 'the listening socket, listeners and records').toBeGreaterThanOrEqual(3);
    await ok('systemctl', '--user', ...words);
    // At once, and so perhaps while nobody is there.
    expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    await daemonAnswers();
    expect((await container.exec(curl(REMOTE.v4))).stdout).toBe(PAGE);
    const after = await Promise.all(UNITS.map((unit) => property(unit, 'MainPID')));
    for (const [index, unit] of UNITS.entries()) {
      const changed = words.includes(unit);
      expect(after[index] !== before[index], `${unit} is another process`).toBe(changed);
    }
    expect((await container.counters())?.switched, 'switched, not only let go on').toBeGreaterThan(
      0,
    );
    await container.remove();
  });

  test('a Quadlet unit is accelerated, and restarted by systemd', async () => {
    // Without default dependencies: they wait for the machine's own systemd, of which there is none here.
    const unit = `[Container]
Image=localhost/lab
Annotation=sockswitch/enable=true
Network=pasta
ContainerName=quadlet
Exec=sh -c "curl -s http://${REMOTE.v4}/ && exec sleep infinity"
[Service]
Restart=always
RestartSec=100ms
[Quadlet]
DefaultDependencies=false
`;
    const remove = await writeUnits({ 'web.container': unit });
    await ok('systemctl', '--user', 'start', 'web');
    const switchedOnce = async () => {
      const rows: unknown = JSON.parse(await ok('sockswitch', 'ps', '--json'));
      return JSON.stringify(rows).includes('"switched":1') ? true : undefined;
    };
    await eventually('the connection of the Quadlet container', switchedOnce);
    const pid = await property('web', 'MainPID');
    await ok('podman', 'kill', 'quadlet');
    await eventually('its restart', async () =>
      !['0', pid].includes(await property('web', 'MainPID')) ? true : undefined,
    );
    await eventually('the connection of the restarted one', switchedOnce);
    await ok('systemctl', '--user', 'stop', 'web');
    await remove();
  });

  test('a Quadlet unit is started by its socket unit', async () => {
    const socket = `[Unit]
DefaultDependencies=no
[Socket]
ListenStream=9001
`;
    const container = `[Container]
Image=localhost/lab
Annotation=sockswitch/enable=true
Network=none
PodmanArgs=--stop-signal=SIGKILL
Exec=node -e "require('http').createServer((q, r) => r.end('activated')).listen({ fd: 3 })"
[Quadlet]
DefaultDependencies=false
`;
    const remove = await writeUnits({ 'handed.socket': socket, 'handed.container': container });
    await ok('systemctl', '--user', 'start', 'handed.socket');
    expect(await ok('curl', '-sS', '-m', '30', 'http://127.0.0.1:9001/')).toBe('activated');
    await ok('systemctl', '--user', 'stop', 'handed.socket', 'handed.service');
    await remove();
  });

  test('sockswitch stop stops the unit, and refuses while a container depends on it', async () => {
    const container = await startContainer({ host: host2, annotations: ENABLED });
    const refused = await host2.run(['sockswitch', 'stop']);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(`${container.id.slice(0, 12)} ${container.name}`);
    expect(refused.stderr).toContain('--force');
    const forced = await ok('sockswitch', 'stop', '--force');
    expect(forced).toContain('New connections');
    expect(await property('sockswitch', 'ActiveState')).toBe('inactive');
    const waiting = container.exec(curl(REMOTE.v4));
    await ok('systemctl', '--user', 'start', 'sockswitch');
    expect((await waiting).stdout).toBe(PAGE);
    await container.remove();
    await eventually('the end of the container', async () =>
      (await host2.run(['sockswitch', 'stop'])).status === 0 ? true : undefined,
    );
    expect((await host2.run(['sockswitch', 'status'])).status).toBe(3);
    await eventually('the end of the keeper', async () =>
      (await property('sockswitch-keeper', 'ActiveState')) === 'inactive' ? true : undefined,
    );
    expect((await ok('sockswitch', 'stop')).trim()).toBe('No daemon is running.');
  });
});
