/** pasta and slirp4netns as they are installed: their options are all classified, and their taps are found. */
import { expect, test } from 'vitest';
import { findFallbackPrograms, NATIVE_TESTS, unclassifiedOptions } from './support/fallback.js';
import { describeOnLab, host1 } from './support/lab.js';
import { type Container, startContainer } from './support/podman.js';

// As `pasta` would: a tap of its own, held open by a process whose program has that name.
const FAKE = `
set -e
cp "$(readlink -f "$(command -v python3)")" /tmp/pasta
exec /tmp/pasta -c '
import fcntl, struct, time
tun = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"eth0", 0x1002))
print("ready", flush=True)
time.sleep(3600)
' --config-net --no-map-gw --netns /run/netns/fake
`;

const netnsOf = async (container: Container) => {
  const pid = await host1.output(['podman', 'inspect', '-f', '{{.State.Pid}}', container.id]);
  const path = `/proc/${pid.trim()}/ns/net`;
  return (await host1.output(['stat', '-L', '-c', '%d:%i', path])).trim();
};

describeOnLab('fallback programs', () => {
  test.each(['pasta', 'slirp4netns'] as const)('every option of %s is classified', async (kind) => {
    expect(await unclassifiedOptions(host1, kind)).toEqual([]);
  });

  test.each([
    { kind: 'pasta', device: 'eth0' },
    { kind: 'slirp4netns', device: 'tap0' },
  ] as const)('the tap of $kind is found in its container', async ({ kind, device }) => {
    const container = await startContainer({ network: kind });
    const netns = await netnsOf(container);
    const found = (await findFallbackPrograms(host1)).filter((program) => program.netns === netns);
    expect(found).toMatchObject([
      { kind, device, obstacle4: '', obstacle6: '', servesBridges: false },
    ]);
    await container.remove();
    const left = await findFallbackPrograms(host1);
    expect(left.filter((program) => program.netns === netns)).toEqual([]);
  });

  test('the tap of bridges is found in the rootless network namespace', async () => {
    const container = await startContainer({ network: 'bridge' });
    const stat = ['stat', '-L', '-c', '%d:%i', '/proc/self/ns/net'];
    const netns = await host1.output(['podman', 'unshare', '--rootless-netns', ...stat]);
    const found = await findFallbackPrograms(host1);
    expect(found.filter((program) => program.servesBridges)).toMatchObject([
      { netns: netns.trim(), obstacle4: '', obstacle6: '' },
    ]);
    const inside = await netnsOf(container);
    expect(found.filter((program) => program.netns === inside)).toEqual([]);
  });

  test.each(['none', 'pasta'])(
    'a pasta of the container itself is none, on %s',
    async (network) => {
      const args = ['--cap-add=NET_ADMIN', '--device=/dev/net/tun'];
      const command = ['bash', '-c', network === 'none' ? FAKE : FAKE.replace('"eth0"', '"tap7"')];
      const container = await startContainer({ network, args, command });
      const ready = 'until podman logs "$1" | grep -q ready; do sleep 0.1; done';
      expect((await host1.sh(ready, [container.id], { timeout: 30_000 })).status).toBe(0);
      const pid = await host1.output(['podman', 'inspect', '-f', '{{.State.Pid}}', container.id]);
      // It has the name, and a tap: only its network namespace gives it away.
      const program = await host1.output(['readlink', `/proc/${pid.trim()}/exe`]);
      expect(program.trim()).toMatch(/\/pasta$/);
      const netns = await netnsOf(container);
      const found = await findFallbackPrograms(host1);
      expect(found.map((one) => one.pid)).not.toContain(Number(pid));
      const devices = found.filter((one) => one.netns === netns).map((one) => one.device);
      expect(devices).toEqual(network === 'none' ? [] : ['eth0']);
    },
  );

  test('where descriptors cannot be fetched, pasta is found and slirp4netns is reported', async () => {
    const pasta = await startContainer({ network: 'pasta' });
    const slirp = await startContainer({ network: 'slirp4netns' });
    const netns = await netnsOf(pasta);
    const found = await host1.run([NATIVE_TESTS, '--fallback', 'find', 'without-getfd']);
    const lines = found.stdout.split('\n').filter((line) => line.includes(`"${netns}"`));
    expect(lines).toEqual([expect.stringContaining('"device":"eth0"')]);
    expect(found.stdout).not.toContain(`"${await netnsOf(slirp)}"`);
    expect(found.stderr).toMatch(
      /^slirp4netns \(process \d+\) cannot be used: its tap cannot be read: Operation not permitted$/m,
    );
  });

  test('an option that stands against acceleration is reported', async () => {
    const container = await startContainer({ network: 'pasta:--no-tcp' });
    const netns = await netnsOf(container);
    const found = await findFallbackPrograms(host1);
    const obstacle = "pasta's option --no-tcp";
    expect(found.filter((program) => program.netns === netns)).toMatchObject([
      { obstacle4: obstacle, obstacle6: obstacle },
    ]);
  });
});
