"""Texts of errors in Turkish."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "İstek yerine getirilemedi.",
    "The request is not valid.": "İstek geçerli değil.",
    "The request is larger than allowed.": "İstek izin verilenden büyük.",
    "You belong to several tenants; say which.": "Birden fazla kuruluşa üyesiniz; hangisi olduğunu belirtin.",
    "A code of your second factor is needed.": "İkinci doğrulama adımınızın kodu gerekiyor.",
    "Too many failed attempts.": "Çok fazla başarısız deneme yapıldı.",
    "The conversation is longer than the context window of the model.": (
        "Konuşma, modelin bağlam penceresinden daha uzun."
    ),
    "This is not supported.": "Bu desteklenmiyor.",
    "The model's service does not accept this request.": "Modelin hizmeti bu isteği kabul etmiyor.",
    "The request contains content that is not allowed.": "İstek, izin verilmeyen içerik barındırıyor.",
    "A valid API key or token is required.": "Geçerli bir API anahtarı veya belirteç gerekiyor.",
    "This credential does not allow the request.": "Bu kimlik bilgisi isteğe izin vermiyor.",
    "Requests from this address are not allowed.": "Bu adresten gelen isteklere izin verilmiyor.",
    "This tenant is suspended.": "Bu kuruluş askıya alındı.",
    "Requests from this web page are not allowed.": "Bu web sayfasından gelen isteklere izin verilmiyor.",
    "This chat takes no visitors.": "Bu sohbet ziyaretçi kabul etmiyor.",
    "There is nothing at this address.": "Bu adreste hiçbir şey yok.",
    "There is no such model.": "Böyle bir model yok.",
    "There is no such session.": "Böyle bir oturum yok.",
    "There is no such summary.": "Böyle bir özet yok.",
    "The tenant has chosen no model for summaries.": "Kuruluş, özetler için bir model seçmemiş.",
    "There is nothing to sum up yet.": "Henüz özetlenecek bir şey yok.",
    "The session was changed while it was summed up.": "Oturum özetlenirken değiştirildi.",
    "The model made no summary.": "Model özet oluşturmadı.",
    "There is no such turn.": "Böyle bir konuşma turu yok.",
    "This session has no such version, or it is no longer kept.": (
        "Bu oturumun böyle bir sürümü yok ya da artık saklanmıyor."
    ),
    "There is no such snapshot.": "Böyle bir anlık görüntü yok.",
    "There is a session of this id already.": "Bu kimlikle zaten bir oturum var.",
    "There is no such API key.": "Böyle bir API anahtarı yok.",
    "There is no such member.": "Böyle bir üye yok.",
    "There is no such invitation.": "Böyle bir davet yok.",
    "There is no such address.": "Böyle bir adres yok.",
    "There is no such allowance.": "Böyle bir kota yok.",
    "There is no such plugin.": "Böyle bir eklenti yok.",
    "There is no such tenant.": "Böyle bir kuruluş yok.",
    "This key is revoked.": "Bu anahtar iptal edildi.",
    "This key has ended.": "Bu anahtarın süresi doldu.",
    "This key may do more than you may give.": "Bu anahtarın yetkileri, verebileceğinizden fazla.",
    "Your role does not allow changing this member.": "Rolünüz bu üyeyi değiştirmeye izin vermiyor.",
    "This invitation is not open any more.": "Bu davet artık açık değil.",
    "It has been accepted: remove the member instead.": "Davet kabul edilmiş: bunun yerine üyeyi kaldırın.",
    "This model is switched off.": "Bu model kapalı.",
    "This model is not in service yet: try again in a second.": (
        "Bu model henüz hizmette değil: bir saniye sonra yeniden deneyin."
    ),
    "This model is the platform's: its operators change it.": (
        "Bu model platforma ait: onu yalnızca platformun işletmenleri değiştirir."
    ),
    "Only an operator of the platform may do this.": "Bunu yalnızca platformun bir işletmeni yapabilir.",
    "This tenant is being taken off the platform.": "Bu kuruluş platformdan çıkarılıyor.",
    "This method is not allowed here.": "Bu yönteme burada izin verilmiyor.",
    "The resource was changed meanwhile.": "Kaynak bu arada değiştirildi.",
    "The turn was cancelled.": "Konuşma turu iptal edildi.",
    "The caller's own deadline has passed.": "Çağıranın belirlediği süre doldu.",
    "Too many turns wait for this session.": "Bu oturumu bekleyen çok fazla tur var.",
    "The previous response was not found.": "Önceki yanıt bulunamadı.",
    "This idempotency key was used with another request.": "Bu eşgüçlülük anahtarı başka bir istekle kullanıldı.",
    "The first request with this idempotency key is still being answered.": (
        "Bu eşgüçlülük anahtarıyla gelen ilk istek hâlâ yanıtlanıyor."
    ),
    "Too many requests.": "Çok fazla istek var.",
    "The budget is used up.": "Bütçe tükendi.",
    "The model's service failed.": "Modelin hizmeti başarısız oldu.",
    "The model's service did not answer in time.": "Modelin hizmeti zamanında yanıt vermedi.",
    "The model's service asks to wait.": "Modelin hizmeti beklenmesini istiyor.",
    "The service is not available right now.": "Hizmet şu anda kullanılamıyor.",
    "The turn was cut off before its end.": "Konuşma turu bitmeden kesildi.",
    "The audit journal cannot record this request right now.": "Denetim günlüğü şu anda bu isteği kaydedemiyor.",
    "A store of the service cannot be reached right now.": "Hizmetin bir deposuna şu anda ulaşılamıyor.",
    "The service is overloaded.": "Hizmet aşırı yüklü.",
    "A plugin that has to take part in this request did not do its work.": (
        "Bu isteğe katılması gereken bir eklenti görevini yapmadı."
    ),
}
