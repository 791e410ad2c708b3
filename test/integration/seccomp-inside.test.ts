/**
 * Programs in an accelerated container that use seccomp themselves. Two of its uses cannot be had together with sockswitch
 * (docs/compatibility.md): this shows what such programs get, so that the document stays true.
 */
import { describe, expect, test } from 'vitest';
import { describeOnLab, REMOTE } from './support/lab.js';
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

describeOnLab('seccomp inside', () => {
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
