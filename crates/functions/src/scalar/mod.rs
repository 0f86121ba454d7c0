//! Scalar functions, one a file; the rules put them where SQL has an operator or a cast.

mod decimal_math;
mod float_divide;
mod int_arithmetic;
mod int_cast;
mod int_negate;
mod logarithm;
mod modulo;
mod numeric_add;
mod numeric_cast;
mod numeric_divide;
mod numeric_modulo;
mod numeric_multiply;
mod operands;

pub use float_divide::FloatDivide;
pub use int_arithmetic::{IntArithmetic, IntOperator};
pub use int_cast::IntCast;
pub use int_negate::IntNegate;
pub use logarithm::Logarithm;
pub use modulo::Modulo;
pub use numeric_add::{AddOperator, NumericAdd};
pub use numeric_cast::NumericCast;
pub use numeric_divide::NumericDivide;
pub use numeric_modulo::NumericModulo;
pub use numeric_multiply::NumericMultiply;

pub(crate) use decimal_math::{PowerOfTen, average};
