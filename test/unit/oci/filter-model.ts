/**
 * What a seccomp profile decides about one call, as crun, runc and libseccomp 2.5 read it:
 * rules that equal the default are skipped, an unconditional rule shadows the conditional ones, several
 * conditions on one argument of a rule are alternatives, and all others must hold together.
 */
import type { Seccomp, SeccompRule } from '../../../src/oci/seccomp-types.js';

export type Arguments = readonly bigint[];

/** "ALLOW", "NOTIFY", "ERRNO 38". Throws where the runtimes would refuse the profile. */
export function decide(profile: Seccomp, name: string, args: Arguments): string {
  const byDefault = effect(profile.defaultAction, profile.defaultErrnoRet);
  const rules = (profile.syscalls ?? []).filter(
    (rule) => rule.names.includes(name) && ruleEffect(rule) !== byDefault,
  );
  const unconditional = new Set(rules.filter((rule) => !rule.args?.length).map(ruleEffect));
  if (unconditional.size > 1) throw new Error(`two unconditional rules for ${name}`);
  const [shadowing] = unconditional;
  if (shadowing !== undefined) return shadowing;
  const match = rules.find((rule) => matches(rule, args));
  return match === undefined ? byDefault : ruleEffect(match);
}

function ruleEffect(rule: SeccompRule): string {
  if (rule.errnoRet != null && !/ERRNO|TRACE/.test(rule.action)) {
    throw new Error(`errnoRet with ${rule.action}`);
  }
  return effect(rule.action, rule.errnoRet);
}

function effect(action: string, errno: number | null | undefined): string {
  const name = action.replace('SCMP_ACT_', '');
  return name === 'ERRNO' ? `ERRNO ${errno ?? 1}` : name;
}

function matches(rule: SeccompRule, args: Arguments): boolean {
  const conditions = rule.args ?? [];
  const indices = conditions.map(({ index }) => index);
  const results = conditions.map((condition) => holds(condition, args));
  return new Set(indices).size < indices.length ? results.some(Boolean) : results.every(Boolean);
}

function holds(condition: NonNullable<SeccompRule['args']>[number], args: Arguments): boolean {
  const actual = args[condition.index] ?? 0n;
  const value = BigInt(condition.value);
  switch (condition.op) {
    case 'SCMP_CMP_NE':
      return actual !== value;
    case 'SCMP_CMP_LT':
      return actual < value;
    case 'SCMP_CMP_LE':
      return actual <= value;
    case 'SCMP_CMP_EQ':
      return actual === value;
    case 'SCMP_CMP_GE':
      return actual >= value;
    case 'SCMP_CMP_GT':
      return actual > value;
    case 'SCMP_CMP_MASKED_EQ':
      return (actual & value) === BigInt(condition.valueTwo ?? 0);
    default:
      throw new Error(`unknown operator ${condition.op}`);
  }
}
