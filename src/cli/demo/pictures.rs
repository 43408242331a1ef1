//! Pictures drawn by code, so that the demonstration shows photographs without holding any.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use super::sketch::Attachment;

const WIDTH: u32 = 360;
const HEIGHT: u32 = 240;

/// A landscape as a photograph: sky, sun, hills and water, different for each number.
pub(super) fn landscape(number: u32) -> Attachment {
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| colour(number, x, y));
    let name = format!("IMG_{:04}.jpg", 2_040 + number * 7);
    encoded("image/jpeg", name, &picture, ImageFormat::Jpeg)
}

/// A chart of growing bars.
pub(super) fn chart(number: u32) -> Attachment {
    let picture = RgbImage::from_fn(320, 160, |x, y| {
        let bar = x / 40;
        let height = (bar * bar * 2 + (bar * 37 + number * 11) % 40).min(150);
        let inside = x % 40 > 8 && 160 - y < height;
        if inside { Rgb([52, 101, 164]) } else { Rgb([245, 245, 240]) }
    });
    encoded("image/png", format!("chart-{number}.png"), &picture, ImageFormat::Png)
}

/// The sign at the head of a newsletter.
pub(super) fn banner(hue: u8) -> Attachment {
    let picture = RgbImage::from_fn(240, 40, |x, y| {
        let wave = (x / 6 + y / 4) % 8;
        let light = u8::try_from(wave * 8).unwrap_or(0);
        Rgb([hue, 120_u8.saturating_add(light), 200_u8.saturating_sub(hue / 2)])
    });
    let mut sign = encoded("image/png", "banner.png".to_owned(), &picture, ImageFormat::Png);
    sign.inline = Some("banner");
    sign
}

fn encoded(
    kind: &'static str,
    name: String,
    picture: &RgbImage,
    format: ImageFormat,
) -> Attachment {
    let mut octets = Cursor::new(Vec::new());
    // Writing a picture of this kind to memory does not fail.
    let _ = picture.write_to(&mut octets, format);
    Attachment { kind, name, octets: octets.into_inner(), inline: None }
}

/// The colour of one point of a landscape.
fn colour(number: u32, x: u32, y: u32) -> Rgb<u8> {
    let horizon = 120 + number * 13 % 40;
    let hill = horizon.saturating_sub(triangle(x + number * 53, 120) / 2 + triangle(x, 46) / 6);
    let (sun_x, sun_y) = (60 + number * 71 % 240, 30 + number * 17 % 50);
    let (far_x, far_y) = (x.abs_diff(sun_x), y.abs_diff(sun_y));
    let shade = |base: u8, by: u32| base.saturating_sub(u8::try_from(by.min(255)).unwrap_or(255));
    if far_x * far_x + far_y * far_y < 400 {
        Rgb([255, 236, 170])
    } else if y < hill {
        Rgb([shade(180, y / 2), shade(215, y / 3), 250])
    } else if y < horizon {
        Rgb([shade(90, y / 4), shade(150, (y - hill) / 2), 80])
    } else {
        let ripple = (x / 3 + y * y / 50) % 9 * 4;
        Rgb([40, shade(130, ripple), shade(190, ripple / 2)])
    }
}

/// A line that rises and falls, over and over.
fn triangle(x: u32, period: u32) -> u32 {
    (x % period).min(period - x % period)
}
