import js from '@eslint/js';
import tseslint from 'typescript-eslint';

// Everything that would turn text into markup, or need a weaker Content-Security-Policy.
const FORBIDDEN_PROPERTIES = ['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'setHTML', 'setHTMLUnsafe', 'srcdoc'];

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'max-lines': ['error', { max: 400 }],
      'max-lines-per-function': ['error', { max: 70 }],
      eqeqeq: 'error',
      'no-console': 'error',
      'no-restricted-properties': ['error', ...FORBIDDEN_PROPERTIES.map((property) => ({ property }))],
      'no-restricted-syntax': [
        'error',
        {
          selector: "CallExpression[callee.property.name='setAttribute'] > Literal.arguments:first-child[value=/^(style|on)/]",
          message: 'Blocked or ignored under our CSP: use a class or addEventListener.',
        },
        { selector: "CallExpression[callee.object.name='document'][callee.property.name=/^write/]", message: 'Not under Trusted Types.' },
        { selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']", message: 'Ages come from the server clock (core/clock.ts).' },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  // The configuration files are plain JavaScript outside the TypeScript project.
  { files: ['**/*.js', '**/*.mjs'], ...tseslint.configs.disableTypeChecked },
  { files: ['tools/**'], languageOptions: { globals: { URL: 'readonly' } } },
  // A suite is one long callback; its length says nothing.
  { files: ['**/*.test.ts'], rules: { 'max-lines-per-function': 'off' } },
);
