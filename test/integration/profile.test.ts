/** `sockswitch profile`: engines without the hook, which say by the profile alone whom to call. */
import { expect, test } from 'vitest';
import { describeOnLab, HOST1, host1, REMOTE } from './support/lab.js';
import { counters, startContainer } from './support/podman.js';

const IP = ['curl', '-sS', '--max-time', '10', `http://${REMOTE.v4}/ip`];

describeOnLab('a printed profile', () => {
  test('for podman --security-opt, without any annotation', async () => {
    await host1.output(['sh', '-c', 'sockswitch profile >profile.json']);
    const container = await startContainer({ args: ['--security-opt', 'seccomp=profile.json'] });
    expect((await container.exec(IP)).stdout).toBe(`${HOST1.v4}\n`);
    expect(await counters(container.id)).toMatchObject({ switched: 1 });
    const denied = await container.exec(['unshare', '--net', 'true']);
    expect(denied.status, "Podman's own denials hold").not.toBe(0);
    await container.remove();
  });

  test('for a bare crun', async () => {
    const script = `
      set -e
      bundle=$(mktemp -d); cd "$bundle"
      id=$(podman create localhost/lab true)
      trap 'podman rm -f $id >/dev/null' EXIT
      root=$(podman mount $id)
      crun spec --rootless
      sockswitch profile --oci >seccomp.json
      python3 - "$root" <<'EOF'
import json, sys
spec = json.load(open('config.json'))
spec['root'] = {'path': sys.argv[1], 'readonly': True}
spec['process']['terminal'] = False
spec['process']['args'] = ['python3', '-c', '''
import socket
sock = socket.socket()
try:
    sock.connect(("127.0.0.1", 1))
except OSError as error:
    print(type(error).__name__)
''']
spec['linux']['seccomp'] = json.load(open('seccomp.json'))
spec['annotations'] = {  # as CRI-O would
    'io.container.manager': 'cri-o',
    'io.kubernetes.pod.namespace': 'default',
    'io.kubernetes.pod.name': 'web',
    'io.kubernetes.container.name': 'nginx',
}
json.dump(spec, open('config.json', 'w'))
EOF
      crun run bare-test`;
    const result = await host1.run(['podman', 'unshare', 'bash', '-c', script]);
    expect(result).toMatchObject({ status: 0, stdout: 'ConnectionRefusedError\n' });
    const log = await host1.output(['tail', '-n', '5', 'sockswitch-daemon.log']);
    expect(log).toContain('"container":"bare-test","kubernetes":"default/web/nginx"');
  });
});
