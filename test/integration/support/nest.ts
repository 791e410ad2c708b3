/**
 * Podman in a container, as a pod in Kubernetes has it: an outer container of root's Podman on host1, whose root is the
 * host's own (an overlay), and in it a user with a Podman, an installation and a daemon of its own.
 *
 * The outer Podman's storage and the inner user's home lie on a real file system, since overlays cannot lie on the
 * host's own root, which is one. What is inside as on every host is mounted: node, the product, the images.
 */
import { host1, type Result, type RunOptions } from './lab.js';

const BASE = '/home/lab/nest';
const MOUNTS = ['/usr/local/bin/node', '/opt/sockswitch', '/var/lib/lab-images'];

export interface Nesting {
  readonly name: string;
  /** Options of the outer `podman run`. */
  readonly outer: readonly string[];
  /**
   * `--userns=auto`, which cannot be on the host's own root: the outer container is made of `localhost/tiny` and the host's directories, and
   * the only image in it is that one, since the host's images cannot be read there.
   */
  readonly userNamespace?: boolean;
  /** uid of the inner user. */
  readonly user?: number;
  /** The inner daemon's configuration. */
  readonly configuration?: string;
}

export class Nest {
  readonly #nesting: Nesting;

  private constructor(nesting: Nesting) {
    this.#nesting = nesting;
  }

  /** Starts the outer container and prepares the inner user; no daemon is started. */
  static async start(nesting: Nesting): Promise<Nest> {
    const nest = new Nest(nesting);
    const user = nesting.user ?? 1000;
    const root = nesting.userNamespace === true ? TINY_ROOT : OWN_ROOT;
    const prepare = `
set -e
name=$1; shift
base="${BASE}/$name"
mkdir -p "${BASE}/storage"; rm -rf "$base"; mkdir -m 777 "$base"
${root}
${PODMAN} exec --user ${user} -i "$name" sh -s <<'SETUP'
mkdir -p /inner/home/.config/containers /inner/home/.config/sockswitch
mkdir -m 700 /inner/run
cat >/inner/home/.config/containers/storage.conf <<'CONF'
[storage]
driver = "overlay"
runroot = "/inner/run/containers"
graphroot = "/inner/home/storage"
${nesting.userNamespace === true ? '' : '[storage.options]\nadditionalimagestores = ["/var/lib/lab-images"]'}
CONF
cat >/inner/home/.config/containers/containers.conf <<'CONF'
[containers]
userns = "host"
utsns = "host"
ipcns = "host"
cgroupns = "host"
cgroups = "disabled"
# The outer container's own network may be what Podman takes otherwise.
[network]
default_subnet = "10.91.0.0/24"
CONF
SETUP`;
    const started = await host1.sh(prepare, [nesting.name, ...nesting.outer], { root: true });
    if (started.status !== 0) throw new Error(`${started.stdout}${started.stderr}`);
    if (nesting.userNamespace === true) {
      const loaded = await nest.sh('podman load -q -i /inner/tiny.tar');
      if (loaded.status !== 0) throw new Error(loaded.stderr);
    }
    if (nesting.configuration !== undefined) {
      const write = 'printf "%s" "$1" >~/.config/sockswitch/config.toml';
      await nest.sh(write, [nesting.configuration]);
    }
    return nest;
  }

  /** As the inner user. */
  sh(script: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
    const user = String(this.#nesting.user ?? 1000);
    const variables = ['HOME=/inner/home', 'XDG_RUNTIME_DIR=/inner/run', STORAGE, ENVIRONMENT];
    const env = variables.flatMap((one) => ['--env', one]);
    const words = [
      ...PODMAN.split(' '),
      'exec',
      '--user',
      user,
      ...env,
      '--workdir',
      '/inner/home',
    ];
    const command = ['bash', '-c', script, 'bash', ...args];
    return host1.run([...words, '-i', this.#nesting.name, ...command], { ...options, root: true });
  }

  /** `sockswitch install`, and the daemon; its output goes to daemon.log. */
  async startDaemon(): Promise<Result> {
    return this.sh(`
sockswitch install
setsid sockswitch daemon >daemon.log 2>&1 </dev/null & disown
for try in $(seq 100); do sockswitch status && exit; sleep 0.1; done
cat daemon.log; exit 1`);
  }

  async remove(): Promise<void> {
    const script = `${PODMAN} rm --force --ignore --time 0 "$1" >/dev/null; rm -rf "${BASE}/$1"`;
    await host1.sh(script, [this.#nesting.name], { root: true });
  }
}

const PODMAN = `podman --root ${BASE}/storage --runroot /tmp/nest-run`;
/** Options of a Podman of root's that has the outer containers and the lab's images. */
export const NEST_STORAGE = [
  ...['--root', `${BASE}/storage`, '--runroot', '/tmp/nest-run'],
  ...['--storage-opt', 'additionalimagestore=/var/lib/lab-images'],
];
const WITH_IMAGES = `podman ${NEST_STORAGE.join(' ')}`;
// Root's Podman reads no file in its home.
const STORAGE = 'CONTAINERS_STORAGE_CONF=/inner/home/.config/containers/storage.conf';
const ENVIRONMENT = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const mounts = (paths: readonly string[]) => paths.map((path) => `-v ${path}:ro`).join(' ');
/** As in a user's image: the programs' setuid bits would want more capabilities than an unprivileged container has. */
const MAPPERS = `
for one in uid gid; do
  chmod u-s $directory/new\${one}map
  setcap cap_set$one=ep $directory/new\${one}map
done`;

const RUN = `${PODMAN} run -d --rm --name "$name" --cgroups=disabled --cgroupns=host -v "$base:/inner" ${mounts(MOUNTS.map((path) => `${path}:${path}`))}`;

const OWN_ROOT = `
${RUN} "$@" --rootfs /:O sleep infinity
${PODMAN} exec --user 0 -i "$name" sh -s <<'SETUP'
chmod 666 /dev/net/tun /dev/fuse 2>/dev/null
directory=/usr/bin${MAPPERS}
printf 'lab:100000:65536\\nroot:100000:65536\\n' | tee /etc/subuid >/etc/subgid
SETUP`;

const TINY_MOUNTS = [
  ...['/usr:/usr', '/usr/bin:/bin', '/usr/sbin:/sbin', '/usr/lib:/lib', '/usr/lib64:/lib64'],
  ...['/etc:/etc', '"$base/ids":/etc/subuid', '"$base/ids":/etc/subgid'],
  ...['uid', 'gid'].map((one) => `"$base/new${one}map":/usr/bin/new${one}map`),
];
const TINY_ROOT = `
grep -q ^containers: /etc/subuid || echo containers:2000000:1000000 | tee -a /etc/subuid >>/etc/subgid
echo lab:10000:50000 >"$base/ids"
cp /usr/bin/new{uid,gid}map "$base"
directory=$base${MAPPERS}
${WITH_IMAGES} save -q --format oci-archive -o "$base/tiny.tar" localhost/tiny
chmod 644 "$base/tiny.tar"
${WITH_IMAGES} run -d --rm --name "$name" --userns=auto:size=65536 --cgroups=disabled --cgroupns=host \\
  --tmpfs /tmp --tmpfs /var/tmp --tmpfs /run -v "$base:/inner" ${mounts([...MOUNTS.slice(0, 2).map((path) => `${path}:${path}`), ...TINY_MOUNTS])} "$@" localhost/tiny sleep infinity`;

/** Removes what all of them have left. */
export async function removeNests(): Promise<void> {
  const script = `${PODMAN} rm --all --force --time 0 >/dev/null; rm -rf ${BASE} /tmp/nest-run`;
  await host1.sh(script, [], { root: true });
}
