import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { type ConfigPaths, configPaths } from '../../../src/base/paths.js';
import { judgeTunnelPorts } from '../../../src/doctor/check-daemon.js';
import { checkFiles, checkPrecedence } from '../../../src/doctor/check-installation.js';
import {
  checkGuard,
  checkKernel,
  checkLimits,
  checkNames,
  checkRepin,
  checkSelinux,
  checkSurroundings,
  checkTunnels,
  selinuxMode,
} from '../../../src/doctor/check-kernel.js';
import { atLeast, judgePodman, type PodmanInfo } from '../../../src/doctor/check-podman.js';
import type { Finding } from '../../../src/doctor/finding.js';
import {
  guardProblem,
  namesMessage,
  repinProblem,
  requireKernel,
  settingsProblem,
} from '../../../src/system/kernel-requirements.js';
import { type Capability, surroundings } from '../../../src/system/surroundings.js';
import { FEATURES } from '../daemon/fake-engine.js';

const PODMAN: PodmanInfo = {
  host: {
    cgroupVersion: 'v2',
    ociRuntime: { name: 'crun', version: 'crun version 1.21\ncommit: x' },
    security: { rootless: true },
    pasta: { executable: '/usr/bin/pasta', version: '' },
  },
  version: { Version: '5.4.2' },
};
/** Not in a container. */
const HOST = { userNamespace: false, container: false, powerless: false };
const worse = (findings: readonly Finding[]) =>
  findings
    .filter(({ severity }) => severity === 'problem' || severity === 'warning')
    .map(({ id, severity }) => `${severity} ${id}`);

let paths: ConfigPaths;
beforeEach(() => {
  paths = configPaths({ XDG_CONFIG_HOME: mkdtempSync(join(tmpdir(), 'sockswitch-')) });
  mkdirSync(dirname(paths.containersDropIn), { recursive: true });
});
function dropIn(name: string, text: string): void {
  writeFileSync(join(dirname(paths.containersDropIn), name), text);
}

test('kernels', () => {
  expect(worse(checkKernel(FEATURES, undefined))).toEqual([]);
  const bad = { ...FEATURES, addfd: false, pinningProblem: 'EPERM' };
  expect(worse(checkKernel(bad, { message: 'x', remedy: 'y' }))).toEqual([
    ...['problem kernel.required', 'problem kernel.pinning', 'problem kernel.settings'],
  ]);
});

test('a setting with which nothing can be fetched from containers is refused by the daemon, too', () => {
  const found = settingsProblem(() => '3\n');
  expect(found?.message).toContain('ptrace_scope is 3');
  expect(() => requireKernel(FEATURES, found)).toThrow(/ptrace_scope is 3/);
  expect(settingsProblem(() => '2\n')).toBeUndefined();
  const absent = () => {
    throw new Error('ENOENT');
  };
  expect(settingsProblem(absent)).toBeUndefined();
});

test('the socket guard', () => {
  const paths = { guardProgram: '/opt/guard', guardSocket: '/run/guard.sock' };
  expect(checkGuard({ guardObstacle: () => '' }, paths, true).severity).toBe('ok');
  const none = { guardObstacle: () => 'EPERM' };
  expect(checkGuard(none, paths, true).severity).toBe('problem');
  const without = checkGuard(none, paths, false);
  expect(without.severity).toBe('warning');
  expect(without.remedy).toContain('setcap cap_bpf=ep /opt/guard');
  const older = checkGuard({ guardObstacle: () => 'EPROTONOSUPPORT' }, paths, true);
  expect(older.message).toContain(
    '/opt/guard, or the sockswitch-guard that systemd starts, is of another version',
  );
  expect(older.remedy).toContain('restart the daemon');
  const full = checkGuard({ guardObstacle: () => 'ENOBUFS' }, paths, true);
  expect(full.message).toContain('net.core.bpf_jit_limit');
});

test('whether published ports follow the host’s network', () => {
  const paths = { repinProgram: '/opt/repin', repinSocket: '' };
  expect(checkRepin({ repinObstacle: () => '' }, paths).severity).toBe('ok');
  const none = checkRepin({ repinObstacle: () => 'EPERM' }, paths);
  expect(none.severity).toBe('note');
  expect(none.message).toContain('setcap cap_net_raw=ep /opt/repin');
  expect(checkRepin({ repinObstacle: () => 'EPROTONOSUPPORT' }, paths).message).toContain(
    'another version',
  );
});

test('the socket guard in a container: what would help there', () => {
  const remedy = (userNamespace: boolean, ...withheld: Capability[]) =>
    guardProblem('/opt/guard', 'EPERM', { userNamespace, withheld }).remedy;
  expect(remedy(false)).toContain('setcap');
  expect(remedy(false, 'net_admin')).toContain('setcap');
  expect(remedy(false, 'bpf')).toMatch(/^start the outer container with --cap-add=bpf/);
  expect(remedy(true)).toContain('without a user namespace');
});

test('optional programs in a container: what would help there', () => {
  const names = (userNamespace: boolean, ...withheld: Capability[]) =>
    (['answer', 'load'] as const).map((stage) =>
      namesMessage('/opt/names', { stage, error: 'EPERM' }, { userNamespace, withheld }),
    );
  for (const message of names(false, 'bpf', 'net_admin', 'net_raw')) {
    expect(message).toContain('CAP_BPF and CAP_NET_ADMIN, which this container was started');
    expect(message).toContain('--cap-add=bpf,net_admin (Kubernetes:');
    expect(message).not.toContain('setcap');
  }
  expect(names(false, 'net_admin')[0]).toContain('--cap-add=net_admin (');
  for (const message of names(true)) {
    expect(message).toContain("machine's first user namespace");
    expect(message).not.toContain('setcap');
  }
  const repin = (...withheld: Capability[]) =>
    repinProblem('/opt/repin', 'EPERM', { userNamespace: true, withheld }).remedy;
  expect(repin()).toContain('setcap cap_net_raw=ep /opt/repin');
  expect(repin('bpf', 'net_raw')).toMatch(/^start the outer container with --cap-add=net_raw \(/);
});

test.each([
  { stage: 'answer', error: 'EPERM', says: 'may not be started with its capabilities here' },
  { stage: 'answer', error: 'ENOENT', says: 'does not answer (ENOENT): reinstall' },
  { stage: 'cgroup', error: 'ENOENT', says: 'no hierarchy of cgroup version 2 is mounted' },
  { stage: 'delegated', error: 'EPERM', says: 'systemd-run --user --scope' },
  { stage: 'attach', error: 'E2BIG', says: "cgroup of the daemon's user (E2BIG)" },
  { stage: 'tried', error: 'EPERM', says: 'Linux 5.19' },
  { stage: 'tried', error: 'ENODATA', says: 'no name shows (ENODATA)' },
  { stage: 'load', error: 'EPERM', says: 'setcap cap_bpf,cap_net_admin=ep /opt/names' },
  { stage: 'load', error: 'EINVAL', says: 'does not load the programs that change that (EINVAL' },
] as const)('names of clients: stage $stage, $error', ({ stage, error, says }) => {
  const around = { userNamespace: false, withheld: [] };
  const message = namesMessage('/opt/names', { stage, error }, around);
  expect(message).toMatch(/^services see the host's address for clients inside/);
  expect(message).toContain(says);
});

test('whether services can be shown their true clients, without a daemon', () => {
  const paths = { namesProgram: '/opt/names', namesSocket: '' };
  const found = (stage?: 'delegated' | 'load') =>
    checkNames({ namesObstacle: () => stage && { stage, error: 'EPERM' } }, paths);
  expect(found().severity).toBe('ok');
  expect(found('delegated').severity, "the daemon's cgroup is another one").toBe('ok');
  expect(found('load')).toMatchObject({ id: 'names', severity: 'note' });
  expect(found('load').message).toContain('/opt/names');
});

test('a listener that is there already is not called an old kernel', () => {
  const features = { ...FEATURES, userNotif: false, addfd: false, listenerInUse: true };
  expect(() => requireKernel(features)).toThrow(/has a listener already.*EBUSY/);
  const [first] = checkKernel(features, undefined);
  expect(first).toMatchObject({ severity: 'problem', message: expect.stringContaining('EBUSY') });
  expect(checkKernel({ ...FEATURES, kcmp: false }, undefined)).toContainEqual(
    expect.objectContaining({ id: 'kernel.kcmp', severity: 'note' }),
  );
});

test('surroundings', () => {
  const files: Record<string, string> = {
    '/proc/self/uid_map': '         0          0 4294967295\n',
    '/proc/self/status': 'Name:\tnode\nCapBnd:\t000001ffffffffff\n',
    '/proc/self/mountinfo':
      '22 1 0:5 / /proc rw - proc proc rw\n23 22 0:6 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n',
  };
  const look = (more: Record<string, string> = {}, open = () => {}, root = true) =>
    surroundings(
      (path) => ({ ...files, ...more })[path] ?? '',
      open,
      () => false,
      () => root,
    );
  const free = { ...HOST, withheld: [], coveredProc: [], tunProblem: undefined };
  expect(look()).toEqual(free);
  expect(worse(checkSurroundings(look()))).toEqual([]);
  expect(look({ '/proc/self/uid_map': '0 100000 65536\n' }).userNamespace).toBe(true);
  const pod = 'CapEff:\t00000000800405fb\nCapBnd:\t00000000800405fb\n';
  expect(look({ '/proc/self/status': pod })).toMatchObject({
    withheld: ['bpf', 'net_admin', 'net_raw'],
    powerless: true,
  });
  const user = look({ '/proc/self/status': pod }, () => {}, false);
  expect(user.powerless, 'a service may be root, who asks is not').toBe(false);
  const masked =
    '24 22 0:5 /sys /proc/sys ro - proc proc rw\n25 22 0:7 / /proc/kcore rw - tmpfs t rw\n';
  const without = () => {
    throw Object.assign(new Error(), { code: 'ENOENT' });
  };
  const covered = look({ '/proc/self/mountinfo': masked }, without);
  expect(covered).toMatchObject({
    coveredProc: ['/proc/sys', '/proc/kcore'],
    tunProblem: 'ENOENT',
  });
  expect(worse(checkSurroundings(covered))).toEqual([
    ...['problem surroundings.tun', 'warning surroundings.proc'],
  ]);
  const nothing = () => {
    throw new Error();
  };
  expect(
    surroundings(
      nothing,
      () => {},
      () => false,
    ),
    'unreadable',
  ).toEqual(free);
});

test("tunnels' ports", () => {
  const holders = [{ inode: 1, uid: 1000 }];
  const addon = { portHolders: (_: string, port: number) => (port === 8472 ? holders : []) };
  expect(judgeTunnelPorts({ portHolders: () => [] }, new Set()).severity).toBe('ok');
  const taken = judgeTunnelPorts(addon, new Set());
  expect(taken.severity).toBe('note');
  expect(taken.message).toContain('TCP port 8472 is taken');
  expect(judgeTunnelPorts(addon, new Set([8472])).severity, 'by the daemon').toBe('ok');
});

test('tunnels', () => {
  expect(checkTunnels({ segments: true, problem: '' }).severity).toBe('ok');
  const older = checkTunnels({ segments: false, problem: '' });
  expect(older).toMatchObject({ severity: 'note', message: expect.stringContaining('large MTU') });
  const untried = checkTunnels({ segments: false, problem: 'unshare: EPERM' });
  expect(untried.message).toContain('(unshare: EPERM)');
});

test('limits', () => {
  const line = (hard: string) => `Max open files            1024                 ${hard}   files\n`;
  expect(worse(checkLimits(line('524288')))).toEqual([]);
  expect(worse(checkLimits(line('unlimited')))).toEqual([]);
  expect(worse(checkLimits(line('1024')))).toEqual(['warning limits.descriptors']);
});

test('versions', () => {
  expect(atLeast('5.4.2', '4.3')).toBe(true);
  expect(atLeast('4.3', '4.3')).toBe(true);
  expect(atLeast('4.2.9', '4.3')).toBe(false);
  expect(atLeast('1.1.15+ds1', '1.1')).toBe(true);
  expect(atLeast('rubbish', '1.1')).toBe(false);
});

test('Podman', () => {
  expect(worse(judgePodman(PODMAN, 'auto', HOST))).toEqual([]);
  const host = PODMAN.host;
  const with_ = (more: Partial<PodmanInfo['host']>, version = '5.4.2') =>
    worse(
      judgePodman({ host: { ...host, ...more }, version: { Version: version } }, 'always', HOST),
    );
  expect(with_({}, '4.2.0')).toEqual(['problem podman']);
  expect(with_({ security: { rootless: false } })).toEqual(['warning podman.rootless']);
  const rootful = { ...PODMAN, host: { ...host, security: { rootless: false } } };
  const asRoot = (more: Partial<typeof HOST>) =>
    judgePodman(rootful, 'auto', { ...HOST, ...more }).find(({ id }) => id === 'podman.rootless');
  expect(asRoot({ userNamespace: true }), 'root of a user namespace').toMatchObject({
    severity: 'ok',
  });
  expect(asRoot({ container: true }), 'root of a container').toMatchObject({
    severity: 'note',
    message: expect.stringContaining('only --network=slirp4netns'),
  });
  for (const userNamespace of [false, true]) {
    expect(asRoot({ container: true, userNamespace, powerless: true })).toMatchObject({
      severity: 'problem',
      remedy: expect.stringContaining('--cap-add=sys_admin,net_admin,mknod'),
    });
  }
  expect(asRoot({ powerless: true })?.remedy).not.toContain('outer container');
  expect(with_({ cgroupVersion: 'v1' })).toEqual(['warning podman.cgroups']);
  expect(with_({ pasta: { executable: '', version: '' } })).toEqual(['problem podman.networks']);
  expect(with_({ ociRuntime: { name: 'youki', version: '' } })).toEqual(['warning podman.runtime']);
  const runc = { name: 'runc', version: 'runc version 1.1.15' };
  expect(with_({ ociRuntime: runc }), 'which fails on the flag').toEqual([
    'problem podman.wait-killable',
  ]);
  expect(with_({ ociRuntime: { ...runc, version: 'runc version 1.0.3' } })).toEqual([
    ...['problem podman.runtime', 'problem podman.wait-killable'],
  ]);
});

test('versions of the fallback networks', () => {
  const networks = {
    pasta: { executable: '/usr/bin/pasta', version: 'pasta 0.0~git2025-2\nCopyright Red Hat\n' },
    slirp4netns: { executable: '/x', version: 'slirp4netns version 1.2.1\ncommit: y' },
  };
  const host = { ...PODMAN.host, ...networks };
  const found = judgePodman({ ...PODMAN, host }, 'auto', HOST).find(
    ({ id }) => id === 'podman.networks',
  );
  expect(found?.message).toBe('fallback networks: pasta 0.0~git2025-2, slirp4netns 1.2.1');
  const silent = judgePodman(PODMAN, 'auto', HOST).find(({ id }) => id === 'podman.networks');
  expect(silent?.message).toBe('fallback networks: pasta');
});

test('files of the installation', () => {
  const file = { path: paths.containersDropIn, content: 'ours' };
  expect(worse(checkFiles([file]))).toEqual(['problem install.sockswitch.conf']);
  writeFileSync(file.path, 'edited');
  expect(worse(checkFiles([file]))).toEqual(['warning install.sockswitch.conf']);
  writeFileSync(file.path, 'ours');
  expect(worse(checkFiles([file]))).toEqual([]);
});

test('what Podman reads later', () => {
  dropIn('aaa.conf', '[engine]\nhooks_dir = ["/a"]\n');
  dropIn('zzz.conf', '[engine]\nruntime = "crun"\n');
  expect(worse(checkPrecedence(paths, {}))).toEqual([]);
  dropIn('zzz.conf', '[engine]\nhooks_dir = ["/a", {append=true}]\n');
  expect(worse(checkPrecedence(paths, {}))).toEqual([]);
  dropIn('zzz.conf', '[engine]\nhooks_dir = ["/a"]\n');
  expect(worse(checkPrecedence(paths, {}))).toEqual(['problem podman.precedence']);
  dropIn('zzz.conf', `[engine]\nhooks_dir = ["/a", "${paths.hooksDirectory}"]\n`);
  expect(worse(checkPrecedence(paths, {}))).toEqual([]);
  expect(worse(checkPrecedence(paths, { CONTAINERS_CONF: '/x' }))).toEqual([
    'problem podman.precedence',
  ]);
  // As "sockswitch with" does it for Podman 4.3.
  const instead = join(dirname(paths.containersDropIn), 'zzz.conf');
  expect(worse(checkPrecedence(paths, { CONTAINERS_CONF: instead }))).toEqual([]);
});

test('SELinux: off, in order, and in the way of the sockets of containers', () => {
  expect(selinuxMode('/nonexistent/enforce')).toBe(undefined);
  const asked: string[] = [];
  const answering = (obstacle: string) => ({
    socketLabelObstacle: (label: string) => {
      asked.push(label);
      return obstacle;
    },
  });
  expect(checkSelinux(answering('never asked'), undefined).severity).toBe('ok');
  expect(asked).toEqual([]);
  expect(checkSelinux(answering(''), '1').message).toContain('(enforcing)');
  const denied = checkSelinux(answering('socket(AF_INET): Permission denied'), '0\n');
  expect(denied.severity).toBe('warning');
  expect(denied.message).toContain('(permissive)');
  expect(denied.message).toContain('Permission denied');
  expect(denied.remedy).toContain('setsockcreate');
  expect(asked).toEqual(Array(2).fill('system_u:system_r:container_t:s0'));
});
