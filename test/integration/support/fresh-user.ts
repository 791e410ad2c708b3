/**
 * The lab's user as if newly made: another home and another runtime directory, so another Podman, another
 * installation and another daemon than the lab's own, on the same host.
 */
import { eventually, type Host, type Result, type RunOptions, type Server } from './lab.js';

export class FreshUser {
  readonly #host: Host;
  readonly home: string;
  readonly #runtime: string;

  constructor(host: Host, name: string) {
    this.#host = host;
    this.home = `/home/lab/${name}`; // on a real file system, where Podman's overlays can lie
    this.#runtime = `/tmp/${name}`;
  }

  get #environment(): Record<string, string> {
    return { HOME: this.home, XDG_RUNTIME_DIR: this.#runtime };
  }

  /** Makes the home, with nothing in it but the way to the lab's images. */
  async create(): Promise<void> {
    await this.remove();
    const script = `
set -e
mkdir -p "$1/.config/containers" && mkdir -m 700 "$2"
cp ~/.config/containers/storage.conf "$1/.config/containers/"`;
    const result = await this.#host.sh(script, [this.home, this.#runtime]);
    if (result.status !== 0) throw new Error(result.stderr);
  }

  /** Ends what runs and removes everything. */
  async remove(): Promise<void> {
    const script = `
if [ -d "$1" ] && [ -d "$2" ]; then
  HOME=$1 XDG_RUNTIME_DIR=$2 podman rm --all --force --time 0
  HOME=$1 XDG_RUNTIME_DIR=$2 podman unshare rm -rf "$1"
  pkill -f -- "--runtime-dir $2" # the keeper
fi
rm -rf "$1" "$2"`;
    await this.#host.sh(script, [this.home, this.#runtime]);
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
    return this.#host.sh('cd && exec "$@"', argv, { ...options, env: this.#environment });
  }

  async output(argv: readonly string[]): Promise<string> {
    const result = await this.run(argv);
    if (result.status !== 0) throw new Error(`"${argv.join(' ')}": ${result.stderr}`);
    return result.stdout;
  }

  async daemon(argv: readonly string[] = ['sockswitch', 'daemon']): Promise<Server> {
    const options = { env: this.#environment };
    const server = await this.#host.serve(argv, 'sockswitch status', options);
    const gone = async () =>
      (await this.run(['sockswitch', 'status'])).status === 3 ? true : undefined;
    return {
      output: server.output,
      stop: async () => {
        await server.stop();
        await eventually('the end of the daemon', gone);
      },
    };
  }

  /** Every file in the home but for Podman's storage, with a checksum. */
  async files(): Promise<string> {
    const find = 'find . -path ./.local -prune -o -type f -exec sha256sum {} + | sort -k 2';
    return this.output(['sh', '-c', find]);
  }

  /** Processes that belong to this installation. */
  async processes(): Promise<string> {
    return (await this.run(['pgrep', '-af', '--', `--runtime-dir ${this.#runtime}`])).stdout;
  }
}
