//! Scalar functions, one a file; the rules put them where SQL has an operator or a cast.

mod characters;
mod decimal_math;
mod encoding;
mod float_divide;
mod function;
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
mod power;
mod rounding;
mod similar_to;

pub use characters::{assign_bpchar, assign_varchar, to_bpchar, to_varchar};
pub use encoding::{decode, encode};
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
pub use power::{exp, power};
pub use rounding::{ceil, floor, round, trunc};
pub use similar_to::{similar_to_regex, translate, with_backslash};

pub(crate) use decimal_math::{PowerOfTen, average};
