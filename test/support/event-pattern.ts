// Matches events with a rule of EventBridge, by the operators that this repository uses.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html

type Values = Record<string, unknown>;

/** Every field of the pattern has to match, an object that is absent as an empty one; of `$or` one of its patterns. */
export function matches(pattern: Values, event: Values): boolean {
  return Object.entries(pattern).every(([key, wanted]) => {
    if (key === '$or') return (wanted as Values[]).some((each) => matches(each, event));
    const value = event[key];
    if (Array.isArray(wanted)) return wanted.some((each) => isMatch(each, value));
    return matches(wanted as Values, (value ?? {}) as Values);
  });
}

/** One of the alternatives of a field: an operator, or the value itself. */
function isMatch(wanted: unknown, value: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return wanted === value;
  const [[operator, operand] = ['', undefined]] = Object.entries(wanted);
  if (operator === 'exists') return (value !== undefined) === operand;
  if (operator === 'anything-but') return value !== undefined && !(operand as unknown[]).includes(value);
  throw new TypeError(`the operator ${operator} is not known here`);
}
