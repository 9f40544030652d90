// SPDX-License-Identifier: Apache-2.0

// `import Martlet` names all that its API takes and returns. What is public in these modules is part of that API; the
// rest of their declarations belongs to the package.
@_exported public import Logging
@_exported public import MartletAttention
@_exported public import MartletCPU
@_exported public import MartletCompute
@_exported public import MartletJSON
@_exported public import MartletText
