/**
 * Programs in an accelerated container that use seccomp themselves. Two of its uses cannot be had together with sockswitch
 * (docs/compatibility.md): this shows what such programs get, so that the document stays true.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { describeOnLab, host1, REMOTE } from './support/lab.js';
import { RUNTIMES } from './support/places.js';
import { ENABLED, startContainer } from './support/podman.js';

/** SECCOMP_SET_MODE_FILTER with SECCOMP_FILTER_FLAG_NEW_LISTENER, of a filter that allows everything. */
const NEW_LISTENER = `
import ctypes, errno, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
allow = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7FFF0000))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
program = Program(1, ctypes.addressof(allow))
number = {'x86_64': 317, 'aarch64': 277}[__import__('platform').machine()]
fd = libc.syscall(number, 1, 8, ctypes.byref(program))
print('listener' if fd >= 0 else errno.errorcode[ctypes.get_errno()])`;

/** The calls that a tracer sees of curl's: its connects over IPv4, and whether it sees any other call. */
const trace = (option: string) => `
strace -f ${option} -e trace=connect,openat -o /tmp/trace curl -sS -m 30 -o /tmp/page http://${REMOTE.v4}/ &&
printf '%s %s' "$(grep -c 'connect(.*AF_INET,' /tmp/trace)" "$(grep -q openat /tmp/trace && echo others)"`;

/** Runs a container by a runtime; its profile notifies a socket that somebody listens on. */
const NESTED = `
import json, os, socket, subprocess, sys, threading
base = '/tmp/nested'
os.makedirs(f'{base}/rootfs/usr')
for name in ('proc', 'dev'): os.mkdir(f'{base}/rootfs/{name}')
for name in ('bin', 'lib', 'lib64'): os.symlink(f'usr/{name}', f'{base}/rootfs/{name}')
agent = socket.socket(socket.AF_UNIX)
agent.bind('/tmp/agent')
agent.listen()
kept = []
def take():
    while True: kept.append(socket.recv_fds(agent.accept()[0], 65536, 8))
threading.Thread(target=take, daemon=True).start()
notified = {'names': ['mkdirat'], 'action': 'SCMP_ACT_NOTIFY'}
seccomp = {'defaultAction': 'SCMP_ACT_ALLOW', 'listenerPath': '/tmp/agent', 'syscalls': [notified]}
process = {'user': {'uid': 0, 'gid': 0}, 'cwd': '/', 'args': ['echo', 'started'], 'env': ['PATH=/bin']}
mounts = [{'destination': '/proc', 'type': 'proc', 'source': 'proc'},
          {'destination': '/usr', 'type': 'bind', 'source': '/usr', 'options': ['rbind', 'ro']}]
linux = {'namespaces': [{'type': 'mount'}, {'type': 'pid'}], 'seccomp': seccomp}
with open(f'{base}/config.json', 'w') as file:
    json.dump({'ociVersion': '1.0.2', 'root': {'path': 'rootfs'}, 'process': process,
               'mounts': mounts, 'linux': linux}, file)
options = ['--cgroup-manager=disabled'] if sys.argv[1] == 'crun' else ['--root', '/tmp/runc']
done = subprocess.run([sys.argv[1], *options, 'run', '-b', base, 'nested'],
                      stdin=subprocess.DEVNULL, capture_output=True, text=True)
print(done.returncode, done.stdout, done.stderr)`;
/** The host's runtime, with its libraries, where the container has none. */
const BRING = `
program=$(command -v "$1" || command -v "/usr/sbin/$1")
tar -ch "$program" $(ldd "$program" | grep -o '/[^ ]*') 2>/dev/null |
  podman exec -i "$2" tar -x -C / --skip-old-files`;

describeOnLab('seccomp inside', () => {
  // What docs/compatibility.md quotes.
  test.each([
    { runtime: 'crun', says: 'seccomp (SECCOMP_SET_MODE_FILTER): Device or resource busy' },
    { runtime: 'runc', says: 'error loading seccomp filter: device or resource busy' },
  ] as const)(
    'a nested container whose profile notifies, by $runtime',
    async ({ runtime, says }) => {
      const nested = async (annotations: Readonly<Record<string, string>>) => {
        const container = await startContainer({ annotations, args: ['--privileged'] });
        onTestFinished(() => container.remove());
        await host1.output(['bash', '-c', BRING, 'bash', runtime, container.id]);
        return container.output(['python3', '-c', NESTED, runtime]);
      };
      expect(await nested({})).toMatch(/^0 started\n/);
      const refused = await nested(ENABLED);
      expect(refused).toMatch(/^1 /);
      expect(refused).toContain(says);
      const document = readFileSync(
        new URL('../../docs/compatibility.md', import.meta.url),
        'utf8',
      );
      expect(document).toContain(`${runtime} says`);
      expect(document).toContain(says);
    },
  );

  describe.each(RUNTIMES)('with %s', (runtime) => {
    test.each([
      { annotations: {}, listener: 'listener\n', bySeccomp: '1 others' },
      { annotations: ENABLED, listener: 'EBUSY\n', bySeccomp: '0 others' },
    ])('and $annotations', async ({ annotations, listener, bySeccomp }) => {
      const container = await startContainer({ runtime, annotations });
      expect(await container.output(['python3', '-c', NEW_LISTENER])).toBe(listener);
      expect(await container.output(['bash', '-c', trace('--seccomp-bpf')])).toBe(bySeccomp);
      expect(await container.output(['bash', '-c', trace('')])).toBe('1 others');
      await container.remove();
    });
  });
});
