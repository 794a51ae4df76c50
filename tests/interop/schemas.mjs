// Whether random texts of schemas' grammars satisfy the schemas, by Ajv: node schemas.mjs SCHEMAS TEXTS
import { readFileSync } from 'node:fs'
import Ajv from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

const schemas = JSON.parse(readFileSync(process.argv[2], 'utf8'))
// oneOf is a choice here, as documented
const relax = (s) =>
  Array.isArray(s) ? s.map(relax)
  : s && typeof s === 'object'
    ? Object.fromEntries(Object.entries(s).map(([k, v]) => [k === 'oneOf' ? 'anyOf' : k, relax(v)]))
    : s
const validators = schemas.map((schema) => {
  const ajv = new Ajv.default({ strict: false, allErrors: true })
  formats.default(ajv)
  return ajv.compile(relax(schema))
})
const distinct = schemas.map(() => new Set())
let wrong = 0
for (const line of readFileSync(process.argv[3], 'utf8').split('\n').filter(Boolean)) {
  const { schema, text } = JSON.parse(line)
  const validate = validators[schema]
  distinct[schema].add(text)
  let value
  try {
    value = JSON.parse(text)
  } catch (error) {
    console.log(`schema ${schema}: ${text}: ${error.message}`)
    wrong++
    continue
  }
  if (!validate(value)) {
    console.log(`schema ${schema}: ${text}: ${JSON.stringify(validate.errors)}`)
    wrong++
  }
}
const texts = distinct.reduce((sum, set) => sum + set.size, 0)
if (distinct.some((set) => set.size === 0)) wrong++
console.log(`${schemas.length} schemas, ${texts} distinct texts, ${wrong} wrong`)
process.exit(wrong ? 1 : 0)
