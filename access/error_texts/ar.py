"""Texts of errors in Arabic."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "The request could not be served.": "تعذّرت معالجة الطلب.",
    "The request is not valid.": "الطلب غير صالح.",
    "The request is larger than allowed.": "الطلب أكبر من الحجم المسموح به.",
    "You belong to several tenants; say which.": "أنت تنتمي إلى عدة مؤسسات؛ حدّد أيّها.",
    "A code of your second factor is needed.": "يلزم رمز من عامل التحقق الثاني الخاص بك.",
    "Too many failed attempts.": "عدد المحاولات الفاشلة كبير جدًا.",
    "The conversation is longer than the context window of the model.": (
        "المحادثة أطول من نافذة السياق الخاصة بالنموذج."
    ),
    "This is not supported.": "هذا غير مدعوم.",
    "The model's service does not accept this request.": "خدمة النموذج لا تقبل هذا الطلب.",
    "The request contains content that is not allowed.": "يحتوي الطلب على محتوى غير مسموح به.",
    "A valid API key or token is required.": "يلزم مفتاح API أو رمز وصول صالح.",
    "This credential does not allow the request.": "بيانات الاعتماد هذه لا تسمح بالطلب.",
    "Requests from this address are not allowed.": "الطلبات من هذا العنوان غير مسموح بها.",
    "This tenant is suspended.": "هذه المؤسسة موقوفة.",
    "Requests from this web page are not allowed.": "الطلبات من صفحة الويب هذه غير مسموح بها.",
    "This chat takes no visitors.": "هذه الدردشة لا تستقبل الزوار.",
    "There is nothing at this address.": "لا يوجد شيء في هذا العنوان.",
    "There is no such model.": "لا يوجد نموذج بهذا الاسم.",
    "There is no such session.": "لا توجد جلسة كهذه.",
    "There is no such summary.": "لا يوجد ملخص كهذا.",
    "The tenant has chosen no model for summaries.": "لم تختر المؤسسة نموذجًا للملخصات.",
    "There is nothing to sum up yet.": "لا يوجد شيء لتلخيصه بعد.",
    "The session was changed while it was summed up.": "تغيّرت الجلسة أثناء تلخيصها.",
    "The model made no summary.": "لم يُنتج النموذج أي ملخص.",
    "There is no such turn.": "لا يوجد دور محادثة كهذا.",
    "This session has no such version, or it is no longer kept.": "ليس لهذه الجلسة إصدار كهذا، أو لم يعد محفوظًا.",
    "There is no such snapshot.": "لا توجد لقطة كهذه.",
    "There is a session of this id already.": "توجد جلسة بهذا المعرّف بالفعل.",
    "There is no such API key.": "لا يوجد مفتاح API كهذا.",
    "There is no such member.": "لا يوجد عضو كهذا.",
    "There is no such invitation.": "لا توجد دعوة كهذه.",
    "There is no such address.": "لا يوجد عنوان كهذا.",
    "There is no such allowance.": "لا توجد حصة كهذه.",
    "There is no such plugin.": "لا توجد إضافة كهذه.",
    "There is no such tenant.": "لا توجد مؤسسة كهذه.",
    "This key is revoked.": "هذا المفتاح ملغى.",
    "This key has ended.": "انتهت صلاحية هذا المفتاح.",
    "This key may do more than you may give.": "صلاحيات هذا المفتاح أوسع مما يمكنك منحه.",
    "Your role does not allow changing this member.": "دورك لا يسمح بتغيير هذا العضو.",
    "This invitation is not open any more.": "لم تعد هذه الدعوة مفتوحة.",
    "It has been accepted: remove the member instead.": "تم قبول الدعوة: أزل العضو بدلًا من ذلك.",
    "This model is switched off.": "هذا النموذج متوقف.",
    "This model is not in service yet: try again in a second.": (
        "هذا النموذج ليس قيد الخدمة بعد: حاول مجددًا بعد ثانية."
    ),
    "This model is the platform's: its operators change it.": "هذا النموذج تابع للمنصة: لا يغيّره إلا مشغّلوها.",
    "Only an operator of the platform may do this.": "لا يمكن القيام بذلك إلا لمشغّل المنصة.",
    "This tenant is being taken off the platform.": "تجري إزالة هذه المؤسسة من المنصة.",
    "This method is not allowed here.": "هذه الطريقة غير مسموح بها هنا.",
    "The resource was changed meanwhile.": "تم تغيير المورد في هذه الأثناء.",
    "The turn was cancelled.": "تم إلغاء دور المحادثة.",
    "The caller's own deadline has passed.": "انقضت المهلة التي حددها المتصل.",
    "Too many turns wait for this session.": "عدد كبير جدًا من الأدوار ينتظر هذه الجلسة.",
    "The previous response was not found.": "لم يُعثر على الاستجابة السابقة.",
    "This idempotency key was used with another request.": "استُخدم مفتاح عدم التكرار هذا مع طلب آخر.",
    "The first request with this idempotency key is still being answered.": (
        "ما زال الطلب الأول بمفتاح عدم التكرار هذا قيد المعالجة."
    ),
    "Too many requests.": "عدد الطلبات كبير جدًا.",
    "The budget is used up.": "استُنفدت الميزانية.",
    "The model's service failed.": "تعطّلت خدمة النموذج.",
    "The model's service did not answer in time.": "لم تستجب خدمة النموذج في الوقت المناسب.",
    "The model's service asks to wait.": "خدمة النموذج تطلب الانتظار.",
    "The service is not available right now.": "الخدمة غير متاحة حاليًا.",
    "The turn was cut off before its end.": "انقطع دور المحادثة قبل نهايته.",
    "The audit journal cannot record this request right now.": "لا يستطيع سجل التدقيق تسجيل هذا الطلب حاليًا.",
    "A store of the service cannot be reached right now.": "يتعذّر الوصول إلى أحد مخازن الخدمة حاليًا.",
    "The service is overloaded.": "الخدمة محمّلة فوق طاقتها.",
    "A plugin that has to take part in this request did not do its work.": (
        "إضافة يجب أن تشارك في هذا الطلب لم تؤدِّ عملها."
    ),
}
