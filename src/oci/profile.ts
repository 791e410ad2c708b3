/**
 * A whole seccomp profile with our rules, for engines without Podman's precreate hook.
 *
 * Two forms: the engines' (Podman's and Docker's `--security-opt seccomp=FILE`), whose rules may depend on
 * capabilities, architecture and kernel, and the OCI runtime specification's `linux.seccomp`, for bare
 * runtimes, where these conditions have been decided: for this machine, and a container with the
 * capabilities that Podman gives by default.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { type RewriteOptions, rewriteSeccomp } from './seccomp.js';
import { parseSeccomp, printSeccomp, type Seccomp, type SeccompRule } from './seccomp-types.js';

export type ProfileForm = 'engine' | 'oci';

const DEFAULT_CAPABILITIES = new Set([
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_SETFCAP'],
  ...['CAP_NET_BIND_SERVICE', 'CAP_SETGID', 'CAP_SETPCAP', 'CAP_SETUID', 'CAP_SYS_CHROOT'],
]);
/** `process.arch` in the words of engines' profiles. */
const ARCHITECTURES: Readonly<Record<string, { readonly name: string; readonly scmp: string }>> = {
  x64: { name: 'amd64', scmp: 'SCMP_ARCH_X86_64' },
  arm64: { name: 'arm64', scmp: 'SCMP_ARCH_AARCH64' },
};

const conditions = z
  .object({
    caps: z.array(z.string()).nullish(),
    arches: z.array(z.string()).nullish(),
    minKernel: z.string().nullish(),
  })
  .nullish();
const conditional = z.object({ includes: conditions, excludes: conditions });
type Conditions = z.infer<typeof conditions>;
const archMap = z.array(
  z.object({ architecture: z.string(), subArchitectures: z.array(z.string()).nullish() }),
);

/** `base`: the text of an engine's profile; undefined: allow everything else. Throws UserError. */
export function makeProfile(
  base: string | undefined,
  form: ProfileForm,
  options: RewriteOptions,
): string {
  const profile = base === undefined ? undefined : readBase(base, options.machine);
  if (profile !== undefined && form === 'engine') refuseConditionalCalls(profile);
  const decided = profile && form === 'oci' ? decide(profile, options.machine) : profile;
  const rewrite = rewriteSeccomp(decided, options);
  switch (rewrite.kind) {
    case 'rewritten':
      return printSeccomp(rewrite.seccomp);
    case 'already-ours':
      throw new UserError('the base profile has our rules already: name the one it was made of');
    case 'nothing-to-accelerate':
      throw new UserError(rewrite.reason);
  }
}

function readBase(text: string, machine: string): Seccomp {
  if (ARCHITECTURES[machine] === undefined) {
    throw new UserError(`there are no profiles for ${machine}: use x86_64 or arm64`);
  }
  try {
    return parseSeccomp(text);
  } catch {
    throw new UserError(
      'the base profile is not a seccomp profile: name a file such as /usr/share/containers/seccomp.json',
    );
  }
}

/** A call that we report must not be allowed under conditions that our rules for it do not have. */
function refuseConditionalCalls(profile: Seccomp): void {
  const reported = new Set(['connect', 'bind', 'listen', 'ioctl', 'setsockopt', 'socketcall']);
  for (const rule of profile.syscalls ?? []) {
    const name = rule.names.find((candidate) => reported.has(candidate));
    if (name === undefined || !isConditional(rule)) continue;
    throw new UserError(
      `the base profile allows ${name} under conditions ("includes", "excludes"): take them out, or use --oci`,
    );
  }
}

function isConditional(rule: SeccompRule): boolean {
  const { includes, excludes } = conditional.parse(rule);
  return [includes, excludes].some((one) => one && Object.keys(one).length > 0);
}

/** The form of the OCI specification, with all conditions decided. */
function decide(profile: Seccomp, machine: string): Seccomp {
  const { archMap: map, ...rest } = profile;
  const own = ARCHITECTURES[machine]?.scmp ?? '';
  const architectures = archMap.safeParse(map).data?.find((one) => one.architecture === own);
  return {
    ...rest,
    architectures: profile.architectures ?? [own, ...(architectures?.subArchitectures ?? [])],
    syscalls: (profile.syscalls ?? []).filter((rule) => holds(rule, machine)).map(plain),
  };
}

function holds(rule: SeccompRule, machine: string): boolean {
  const { includes, excludes } = conditional.parse(rule);
  const arch = ARCHITECTURES[machine]?.name ?? '';
  const meets = (one: Conditions) =>
    (one?.caps ?? []).every((cap) => DEFAULT_CAPABILITIES.has(cap)) &&
    (one?.arches == null || one.arches.length === 0 || one.arches.includes(arch));
  const hasAny =
    (excludes?.caps ?? []).some((cap) => DEFAULT_CAPABILITIES.has(cap)) ||
    (excludes?.arches ?? []).includes(arch);
  // Kernels that a rule may ask for (4.8) are older than those that we run on.
  return meets(includes) && !hasAny;
}

function plain({ names, action, args, errnoRet }: SeccompRule): SeccompRule {
  return {
    names,
    action,
    ...(errnoRet === undefined || errnoRet === null ? {} : { errnoRet }),
    ...((args ?? []).length === 0 ? {} : { args }),
  };
}
